"""Wraps methods of SGLang's scheduler so that they tell what they were given and what came of it, one JSON line each.

Lines, in the order of events:

    {"engine": {...}}                                   what the server was started with
    {"add": rid, "prompt": ids, "max_new": n, ...}      a request has come into the waiting queue
    {"abort": rid}
    {"close": session}
    {"prefill": [[rid, cached, new], ...], "free": n, "evictable": n, "ratio": r, "t": s}
    {"decode": [rid, ...], "free": n, ...}
    {"retract": [rid, ...]}
    {"end": rid, "output": ids, "reason": "stop" | "length" | "abort"}
    {"idle": true}
"""

import functools
import json
import os
import time


class Lines:
    """The file; opened by the first line, since several processes import the scheduler and one runs it."""

    def __init__(self, path):
        self._path = path
        self._file = None
        self.idle = False
        self.ended = set()

    def write(self, **line):
        """One more. They reach the disk when the scheduler stands."""
        if self._file is None:
            self._file = open(self._path, "w")  # noqa: PTH123, SIM115 - lives as long as the process
        self.idle = "idle" in line
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")
        if self.idle:
            self._file.flush()


def attach(module):
    """Wrap the scheduler of this module."""
    lines = Lines(os.environ["CONCUR_DECISIONS"])
    scheduler, batch = module.Scheduler, module.ScheduleBatch

    def after(owner, name):
        def put(tell):
            inner = getattr(owner, name)

            @functools.wraps(inner)
            def wrapped(self, *args, **kwargs):
                result = inner(self, *args, **kwargs)
                tell(self, result, *args, **kwargs)
                return result

            setattr(owner, name, wrapped)

        return put

    @after(scheduler, "__init__")
    def started(self, _result, *_args, **_kwargs):
        lines.write(engine=_engine(self))

    @after(scheduler, "_add_request_to_queue")
    def came(_self, _result, req, *again, **is_retracted):
        if any(again) or any(is_retracted.values()) or req.retraction_count:  # it was preempted
            return
        sampling = req.sampling_params
        lines.write(
            add=req.rid,
            prompt=list(req.origin_input_ids),
            max_new=sampling.max_new_tokens,
            ignore_eos=bool(sampling.ignore_eos),
            priority=req.priority,
            session=req.session_id,
        )

    @after(scheduler, "process_batch_result")
    def processed(_self, _result, batch, _of, **_kwargs):
        for req in batch.reqs:
            if req.finished() and req.rid not in lines.ended:
                lines.ended.add(req.rid)
                lines.write(end=req.rid, output=list(req.output_ids), reason=req.finished_reason.to_json()["type"])

    @after(scheduler, "on_idle")
    def idled(self, _result):
        if not lines.idle and self.is_fully_idle():
            lines.write(idle=True)

    @after(batch, "retract_decode")
    def retracted(_self, result):
        victims, _, dropped = result
        lines.write(retract=[req.rid for req in victims], dropped=[req.rid for req in dropped])

    _before(scheduler, "run_batch", functools.partial(_batch, lines))
    _before(scheduler, "abort_request", lambda _self, request: lines.write(abort=request.rid, all=request.abort_all))
    if hasattr(scheduler, "close_session"):
        _before(scheduler, "close_session", lambda _self, request: lines.write(close=request.session_id))


def _before(owner, name, tell):
    inner = getattr(owner, name)

    @functools.wraps(inner)
    def wrapped(self, *args, **kwargs):
        tell(self, *args, **kwargs)
        return inner(self, *args, **kwargs)

    setattr(owner, name, wrapped)


def _batch(lines, self, batch, *_args, **_kwargs):
    state = {
        "free": self.token_to_kv_pool_allocator.available_size(),
        "evictable": self.tree_cache.evictable_size(),
        "ratio": self.new_token_ratio_tracker.current,
        "t": round(time.monotonic(), 4),
    }
    if batch.forward_mode.is_extend():
        parts = zip(batch.reqs, batch.prefix_lens, batch.extend_lens, strict=True)
        lines.write(prefill=[[req.rid, int(cached), int(new)] for req, cached, new in parts], **state)
    else:
        lines.write(decode=[req.rid for req in batch.reqs], **state)


def _engine(self):
    return {
        "capacity_tokens": self.max_total_num_tokens,
        "context_length": self.model_config.context_len,
        "page_size": self.page_size,
        "chunked_prefill_size": self.chunked_prefill_size,
        "max_prefill_tokens": self.max_prefill_tokens,
        "max_running_requests": self.max_running_requests,
        "schedule_policy": self.server_args.schedule_policy,
        "schedule_conservativeness": self.server_args.schedule_conservativeness,
        "priority_scheduling": self.server_args.enable_priority_scheduling,
        "preemption_threshold": self.server_args.priority_scheduling_preemption_threshold,
        "session_cache": self.server_args.enable_session_radix_cache,
        "cache": type(self.tree_cache).__name__,
        "core": type(getattr(self.tree_cache, "tree_core", None)).__name__,
    }
