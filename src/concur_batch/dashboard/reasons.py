"""The controllers' reasons in few words, with the figure that they were taken on. One that is not known here is shown as it is."""

from __future__ import annotations

from typing import Final

from concur_batch.dashboard.figures import share
from concur_batch.state import Move

WORDS: Final[dict[tuple[str, str], str]] = {
    ("forecast", "first"): "start: nothing known yet",
    ("forecast", "pool"): "as much as will fit",
    ("forecast", "grow"): "grow: little is missed",
    ("forecast", "cut"): "cut: {miss} missed",
    ("forecast", "step-aside"): "step-aside: no gain",
    ("aimd", "grow"): "grow: {locked} locked",
    ("aimd", "cut"): "cut: {locked} locked, {hit} hit",
    ("accounting", "pool"): "as much as will fit",
    ("turnover", "pool"): "as much as will fit",
    ("turnover", "grow"): "grow: agents end",
    ("turnover", "trim"): "trim: {locked} locked",
    ("turnover", "cut"): "cut: queue is too long",
    ("turnover", "drain"): "drain: until some ended",
    ("", "first"): "start",
    ("", "off"): "off: nobody is held back",
    ("", "fixed"): "fixed: as it was given",
    ("", "no-evidence"): "no evidence",
}


def words(policy: str, move: Move) -> str:
    """Why a limit is another than before."""
    before, after = move.before, move.after
    reason = after.reason
    if before is None and reason == "hold":
        return "start"
    if before is not None and after.tokens is not None:
        if before.tokens is None:
            return "as much as will fit"
        fell = after.tokens < before.tokens
        if policy == "forecast" and reason not in (
            "cut" if fell else "grow",
            "pool",
        ):  # not the fill: what is to be left free changed
            return "less: KV of ended agents" if fell else "more: their KV is gone"
    told = WORDS.get((policy, reason)) or WORDS.get(("", reason))
    return told.format(miss=share(move.miss), hit=share(move.hit), locked=share(move.locked)) if told else reason
