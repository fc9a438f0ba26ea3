"""The embedded engine: a simulated SGLang in this process. It replays each task's script and never invents an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from concur_batch.engine.base import Capabilities, EngineStats, Reply, Request
from concur_batch.engine.pump import Pump
from concur_batch.engine.scripted_turn import finish_reason_of, message_of
from concur_batch.errors import ContextLengthExceeded, EngineBusy, EngineRefused
from concur_batch.sim.call import NO_PRIORITY, Call
from concur_batch.sim.core import EngineCore, Refused
from concur_batch.sim.runs import Run, head, length
from concur_batch.sim.tokens import Tokenizer, text_of


class SimEngine:
    """One server in this process, over `sim.core`. Implements `engine.base.Engine`; runs unchanged in virtual time.

    It tells what `/v1/loads` and `/metrics` of a real one tell, as late as they do, and nothing else.

    Args:
        core: the server's scheduler and cache.
        name: for records and display.
        model: for replies.
        speed: engine seconds per second of the loop.
        tokenizer: how messages become tokens.
        on_end: told of every call but touches that has ended, with what only a simulation knows of it: for reports, not for controllers.
    """

    def __init__(
        self,
        core: EngineCore,
        name: str = "sim",
        *,
        model: str = "sim",
        speed: float = 1.0,
        tokenizer: Tokenizer | None = None,
        on_end: Callable[[Call], None] | None = None,
    ) -> None:
        self._core = core
        self._pump = Pump(core, speed)
        self._name = name
        self._tokenizer = tokenizer or Tokenizer()
        self._on_end = on_end
        options = core.options
        self._capabilities = Capabilities(
            kind="sim",
            version=options.version,
            models=(model,),
            context_length=options.context_length,
            capacity_tokens=core.cache.capacity,
            host_tokens=int(options.host_ratio * core.cache.capacity) or None,
            statistics="metrics" if options.is_old else "loads",
            resident=not options.is_old,
            cache_report=True,
            session_close=options.session_cache,
            priority=options.priority_scheduling,
            abort=True,
            speed=speed,
        )

    @property
    def name(self) -> str:
        """As given."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """Always the same."""
        return self._capabilities

    async def probe(self) -> Capabilities:
        """Nothing to ask."""
        return self.capabilities

    async def complete(self, request: Request) -> Reply:
        """Replay `request.turn`. Raises EngineRefused where there is none."""
        turn = request.turn
        if turn is None:
            raise EngineRefused(
                f"{request.rollout}: the embedded engine replays the task's `script`, which has no turn for step {request.step}; "
                "lengthen the script, or name a model server with --engine"
            )
        message = message_of(turn, request.rollout, request.step)
        output = self._tokenizer.reply(message)
        call = Call(
            rid=request.request_id,
            prompt=self._tokenizer.prompt(request.messages, request.tools),
            output=output,
            max_new_tokens=_max_new_tokens(request, output),
            ignore_eos=_ignores_end(request),
            priority=NO_PRIORITY if request.priority is None else request.priority,
            session=request.session_id,
        )
        try:
            await self._pump.generate(call)
        except Refused as error:
            raise ContextLengthExceeded(f"{self._name}: {error}") from None
        if self._on_end is not None and not request.touch:
            self._on_end(call)
        if call.finish_reason == "abort":
            raise EngineBusy(f"{self._name}: the request was aborted: {call.message}")
        finish_reason = finish_reason_of(turn)
        if call.finish_reason == "length":
            whole = call.generated == length(call.output)
            # a server would say `length`: told so, agents whose work is not whole would count as completed in simulations
            if not whole and (call.max_new_tokens is None or call.generated < call.max_new_tokens):
                raise ContextLengthExceeded(
                    f"{self._name}: prompt and reply ({call.prompt_tokens} and {length(call.output)} tokens) are longer than "
                    f"context or KV pool allow ({self._core.longest} tokens)"
                )
            if not whole:
                message, finish_reason = {"role": "assistant", "content": text_of(head(call.output, call.generated))}, "length"
        if finish_reason == "abort":  # as the script wants it
            raise EngineBusy(f"{self._name}: the request was aborted")
        return Reply(
            message=message,
            finish_reason=finish_reason,
            prompt_tokens=call.prompt_tokens,
            completion_tokens=call.generated,
            cached_tokens=call.cached_tokens,
            model=self._capabilities.models[0],
        )

    async def stats(self) -> EngineStats:
        """The last snapshot."""
        self._pump.settle()
        core, reporter = self._core, self._core.reporter
        capacity, gauges, loads = core.cache.capacity, reporter.gauges, reporter.loads
        if core.options.is_old:
            return EngineStats(
                capacity_tokens=capacity,
                locked=gauges.used / capacity,
                running_requests=gauges.running,
                queued_requests=gauges.queued,
                evicted_tokens_total=core.cache.evicted_total,
                prefill_tokens_total=reporter.counters.prefill_compute,
            )
        return EngineStats(
            capacity_tokens=capacity,
            locked=loads.used / capacity,
            resident=1 - gauges.available / capacity,
            running_requests=loads.running,
            queued_requests=loads.queued,
            evicted_tokens_total=core.cache.evicted_total,
            prefill_tokens_total=loads.prefill_uncached_total,
            prefill_busy_seconds_total=loads.prefill_busy_us_total / 1e6,
            epoch=self._pump.now() if core.is_idle else loads.time,  # an idle engine's state is what it was, and still true
        )

    async def ready(self) -> bool:
        """Always."""
        return True

    async def abort(self, request_id: str) -> None:
        """The call raises EngineBusy, as on SGLang an aborted reply is none."""
        self._core.abort(request_id, self._pump.now())
        self._pump.deliver()

    async def close_session(self, session_id: str) -> None:
        """Its KV is evicted before that of open sessions."""
        self._core.end_session(session_id, self._pump.now())
        self._pump.deliver()

    async def aclose(self) -> None:
        """Stop the clock."""
        self._pump.close()
        await asyncio.sleep(0)


def _ignores_end(request: Request) -> bool:
    return request.sampling.get("ignore_eos") is True


def _max_new_tokens(request: Request, output: Sequence[Run]) -> int | None:
    """What was asked for; a reply that ignores its end can only have ended where its `max_tokens` did."""
    limit = request.sampling.get("max_completion_tokens") or request.sampling.get("max_tokens")
    if isinstance(limit, int):
        return limit
    return length(output) if _ignores_end(request) else None
