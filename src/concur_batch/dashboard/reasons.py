"""The controllers' reasons in words. One that is not known here is shown as it is."""

from __future__ import annotations

from typing import Final

_WORDS: Final[dict[tuple[str, str], str]] = {
    ("forecast", "first"): "start: nothing is known yet",
    ("forecast", "grow"): "grow: contexts stay in the cache",
    ("forecast", "cut"): "cut: history prefilled again",
    ("forecast", "cooldown"): "cooldown: the last cut still drains",
    ("forecast", "step-aside"): "step-aside: nothing to gain by a limit",
    ("aimd", "grow"): "grow: little of the pool is locked",
    ("aimd", "cut"): "cut: locked pool, few cached tokens",
    ("accounting", "pool"): "pool: as many tokens as it holds",
    ("turnover", "grow"): "grow: agents end, and the pool has room",
    ("turnover", "trim"): "trim: too much of the pool is locked",
    ("turnover", "cut"): "cut: the engine's queue is too long",
    ("turnover", "drain"): "drain: nobody starts until some have ended",
    ("", "first"): "start",
    ("", "off"): "off: nobody is held back",
    ("", "fixed"): "fixed",
    ("", "pool"): "pool: as much as will fit",
    ("", "no-evidence"): "no-evidence: no traffic or no fresh reading",
    ("", "hold"): "hold",
}


def words(policy: str, reason: str, fell: bool | None) -> str:  # noqa: FBT001  three states of one fact
    """Why a limit is another. `fell`: whether one on tokens did; None: it has none."""
    if policy == "forecast" and reason in ("hold", "cooldown", "no-evidence") and fell is not None:
        return "less room: ended agents left KV" if fell else "more room: KV of the ended went"
    return _WORDS.get((policy, reason)) or _WORDS.get(("", reason)) or reason
