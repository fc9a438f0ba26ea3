"""Which of a rollout's calls resume cannot use, because a line that they go on from has been taken out of the journal. Pure."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from concur_batch import records as r
from concur_batch.agent.past import Call, PastCall


def after_gaps(calls: Mapping[int, Call | None]) -> set[int]:
    """Numbers of the calls to be made again; `calls` in the journal's order. None: one that has been set aside before.

    A number that is missing is no gap yet: it was in flight beside others when its segment broke off. It is one where a reply
    refers to it, itself or through others. Tool calls refer to nothing, so of those after the first gap only what may be
    repeated is, unless a reply that stands has their observation.
    """
    lost, needed, gap = set[int](), set[int](), sys.maxsize
    for n, call in calls.items():
        if isinstance(call, r.ReplyReceived):
            before = basis(call)
            missing = {one for one in before if one in lost or not _is_there(calls.get(one))}
            if missing:
                lost.add(n)
                gap = min(gap, *missing)
            else:
                needed |= before
    return lost | {n for n, call in calls.items() if n > gap and n not in needed and _may_run_again(call)}


def basis(reply: r.ReplyReceived) -> set[int]:
    """The calls that it refers to; one of whose conversation nothing stands is not needed."""
    after = {reply.after} if reply.after and reply.base else set[int]()
    return after.union(one for one in reply.new if isinstance(one, int))


def _is_there(call: Call | None) -> bool:
    """Whether its message is."""
    return call.finished is not None if isinstance(call, PastCall) else isinstance(call, r.ReplyReceived)


def _may_run_again(call: Call | None) -> bool:
    return isinstance(call, PastCall) and call.started.repeatable
