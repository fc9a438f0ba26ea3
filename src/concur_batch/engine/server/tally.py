"""What SGLang's HTTP process counts: requests when they end, and HTTP itself."""

from __future__ import annotations

from concur_batch.engine.server.histograms import FIRST_TOKEN_S, QUEUE_S, SHORT_S, TOKENS, WHOLE_S
from concur_batch.engine.server.serve import ServerSettings
from concur_batch.histogram import Histogram
from concur_batch.sim.call import NO_PRIORITY, Call

Labels = tuple[tuple[str, str], ...]

COUNTERS = {
    "prompt_tokens": "Prompt tokens of ended requests.",
    "generation_tokens": "Generated tokens of ended requests.",
    "num_requests": "Ended requests.",
    "cached_tokens": "Prompt tokens of ended requests that were found in the cache.",
    "num_aborted_requests": "Aborts asked for.",
    "http_requests": "HTTP requests by endpoint and method.",
    "http_responses": "HTTP responses by endpoint, method and status code.",
}
HISTOGRAMS = {
    "time_to_first_token_seconds": ("Arrival to first token.", FIRST_TOKEN_S),
    "inter_token_latency_seconds": ("Between two tokens.", SHORT_S),
    "e2e_request_latency_seconds": ("Arrival to end.", WHOLE_S),
    "request_time_per_output_token_seconds": ("First token to end, by the tokens after the first.", SHORT_S),
    "prompt_tokens_histogram": ("Prompt tokens of ended requests.", TOKENS),
    "uncached_prompt_tokens_histogram": ("Prompt tokens of ended requests that were computed.", TOKENS),
    "generation_tokens_histogram": ("Generated tokens of ended requests.", TOKENS),
    "queue_time_seconds": ("Arrival to admission.", QUEUE_S),
}
_TOLD_EVERY = 50  # tokens after which the scheduler tells of a request that is not streamed


class Tally:
    """Counters and histograms by name (without prefix and `_total`) and labels. A series begins with its first count."""

    def __init__(self, settings: ServerSettings) -> None:
        self.counters: dict[str, dict[Labels, float]] = {name: {} for name in COUNTERS}
        self.histograms: dict[str, dict[Labels, Histogram]] = {name: {} for name in HISTOGRAMS}
        self.active: dict[Labels, int] = {}  # HTTP requests under way
        self._options = settings.options
        self._model = settings.model

    def ended(self, call: Call) -> None:
        """A request has been answered, in whole or, where it was aborted, in part."""
        labels = self._labels(call)
        by_stream = labels if self._options.is_old else _with(labels, is_streaming=str(call.streamed).lower())
        self._count("prompt_tokens", by_stream, call.prompt_tokens)
        self._count("generation_tokens", by_stream, call.generated)
        self._count("num_requests", by_stream)
        self._count_cached(call, labels)
        assert call.finished_at is not None
        self._observe("e2e_request_latency_seconds", by_stream, call.finished_at - call.arrived_at)
        if call.first_token_at is not None:
            self._observe("time_to_first_token_seconds", by_stream, call.first_token_at - call.arrived_at)
            self._observe_pace(call, labels, by_stream)
        if call.admitted_at is not None:
            self._observe("queue_time_seconds", self.scheduler_labels(), call.admitted_at - call.arrived_at)
        if not self._options.is_old:  # there only with --collect-tokens-histogram
            self._observe("prompt_tokens_histogram", labels, call.prompt_tokens)
            self._observe("uncached_prompt_tokens_histogram", labels, call.prompt_tokens - call.cached_tokens)
            self._observe("generation_tokens_histogram", labels, call.generated)

    def aborted(self) -> None:
        """Somebody has asked for an abort."""
        self._count("num_aborted_requests", self._labels(None))

    def http_began(self, endpoint: str, method: str) -> None:
        """A request has come."""
        labels = (("endpoint", endpoint), ("method", method))
        self._count("http_requests", labels)
        self.active[labels] = self.active.get(labels, 0) + 1

    def http_ended(self, endpoint: str, method: str, status: int | None) -> None:
        """It has been dealt with; `status` None: its client went away."""
        labels = (("endpoint", endpoint), ("method", method))
        self.active[labels] -= 1
        if status is not None:
            self._count("http_responses", _with(labels, status_code=str(status)))

    def scheduler_labels(self) -> Labels:
        """Of all that the scheduler reports. Only its first tensor-parallel rank does."""
        labels = (("engine_type", "unified"), ("model_name", self._model), ("moe_ep_rank", "0"), ("pp_rank", "0"))
        total = (("priority", ""),) if self._options.priority_scheduling else ()  # over all priorities
        return (*labels, *total, ("tp_rank", "0"))

    def _labels(self, call: Call | None) -> Labels:
        if self._options.is_old:
            return (("model_name", self._model),)
        labels: Labels = (("engine_type", "unified"), ("model_name", self._model))
        if not self._options.priority_scheduling:
            return labels
        return (*labels, ("priority", "" if call is None or call.priority == NO_PRIORITY else str(call.priority)))

    def _count_cached(self, call: Call, labels: Labels) -> None:
        if self._options.is_old:
            if call.cached_tokens:
                self._count("cached_tokens", labels, call.cached_tokens)
            return
        for source, tokens in (("device", call.cached_tokens - call.host_cached_tokens), ("host", call.host_cached_tokens)):
            if tokens:
                self._count("cached_tokens", _with(labels, cache_source=source), tokens)

    def _observe_pace(self, call: Call, labels: Labels, by_stream: Labels) -> None:
        assert call.finished_at is not None
        assert call.first_token_at is not None
        if call.generated < 2:
            return
        pace = (call.finished_at - call.first_token_at) / (call.generated - 1)
        told = call.generated - (1 if call.streamed else _TOLD_EVERY)
        if told > 0:
            self._observe("inter_token_latency_seconds", labels, pace, told)
        if call.finish_reason != "abort" and not self._options.is_old:
            self._observe("request_time_per_output_token_seconds", by_stream, pace)

    def _count(self, name: str, labels: Labels, amount: float = 1) -> None:
        series = self.counters[name]
        series[labels] = series.get(labels, 0) + amount

    def _observe(self, name: str, labels: Labels, value: float, times: int = 1) -> None:
        series = self.histograms[name]
        if labels not in series:
            series[labels] = Histogram(HISTOGRAMS[name][1])
        series[labels].observe(value, times)


def _with(labels: Labels, **more: str) -> Labels:
    return tuple(sorted((*labels, *more.items())))
