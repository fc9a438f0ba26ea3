"""What the facts about a server mean for CONCUR: one finding each, and the mend where something is missing. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from concur_batch.engine.check import Facts
from concur_batch.engine.turns import Turns

OLDEST = (0, 5, 8)  # release of SGLang whose statistics are understood

_BETWEEN = "see what answers there: a proxy before the server, perhaps, or its log"

State = Literal["ok", "missing", "optional", "note"]


class Finding(NamedTuple):
    """One fact. `missing`: CONCUR cannot work fully without it. `optional`: it would help. `note`: to know.

    `mend` says what to do; `flags` are the server's own that would give it, as typed.
    """

    name: str
    state: State
    told: str
    mend: str = ""
    flags: tuple[str, ...] = ()


def findings(facts: Facts) -> list[Finding]:
    """In the order of reading."""
    return [*_server(facts), *_statistics(facts), *_cache(facts), *_helps(facts)]


def is_full(found: Sequence[Finding]) -> bool:
    """Whether nothing that is needed is missing."""
    return all(finding.state != "missing" for finding in found)


def _server(facts: Facts) -> Iterator[Finding]:
    can = facts.can
    if facts.ready:
        yield Finding("reachable", "ok", "answers, and is ready for requests")
    else:
        yield Finding("reachable", "missing", "answers, but is not ready for requests", "wait until it has loaded its model")
    version = can.version or "of a release it does not tell"
    if can.kind == "openai":
        yield Finding("server", "note", "OpenAI-compatible, but not SGLang: it works, with less", "only SGLang gives all of it")
    elif can.kind == "sim":
        yield Finding("server", "ok", f"the simulator of concur, as SGLang {version}: it runs no model")
    elif _is_old(can.version):
        oldest = ".".join(map(str, OLDEST))
        yield Finding("server", "note", f"SGLang {version}: only releases from {oldest} on are understood", "update SGLang")
    else:
        yield Finding("server", "ok", f"SGLang {version}")
    context = f"context of {can.context_length:,} tokens" if can.context_length else "context length not told"
    if facts.wanted and can.models and not can.lists(facts.wanted):
        told = f"{facts.wanted} is not listed, and `concur run` refuses it; it serves {', '.join(can.models)}"
        yield Finding("model", "missing", told, "give one of these by --model, or leave it out")
        return
    yield Finding("model", "ok" if can.models else "note", f"{', '.join(can.models) or 'none is listed'}; {context}")


def _statistics(facts: Facts) -> Iterator[Finding]:
    can, stats = facts.can, facts.stats
    if can.kind == "openai":
        yield Finding("statistics", "missing", "it tells nothing of its KV cache: a window can only follow the replies")
        return
    ranks = f"{facts.ranks} data-parallel ranks" if facts.ranks > 1 else "1 rank"
    page = f"page of {facts.page_size} token{'s' if facts.page_size > 1 else ''}"
    if can.capacity_tokens is None:
        yield Finding("KV pool", "note", f"its size is not told; {page}, {ranks}", "update SGLang")
    else:
        yield Finding("KV pool", "ok", f"{can.capacity_tokens:,} tokens; {page}, {ranks}")
    unreadable = {path: f"{path} cannot be read: it answers {told}" for path, told in facts.unreadable.items()}
    if unreadable and (not facts.sources or stats is None or stats.locked is None):
        yield Finding("statistics", "missing", "; ".join(unreadable.values()), _BETWEEN)
    elif not facts.sources:
        yield Finding("statistics", "missing", "neither /v1/loads nor /metrics answers", *_give("--enable-metrics", facts))
    elif stats is None or stats.locked is None:
        yield Finding("statistics", "missing", f"{' and '.join(facts.sources)} told no locked share when asked", "check it again")
    else:
        yield Finding("statistics", "ok", f"the locked share of the pool, from {facts.sources[0]}")
    if "/metrics" in unreadable:
        yield Finding("resident", "missing", unreadable["/metrics"], _BETWEEN)
    elif "/metrics" not in facts.sources:
        yield Finding("resident", "missing", "resident and evicted tokens are not told", *_give("--enable-metrics", facts))
    elif stats is not None and stats.resident is not None:
        yield Finding("resident", "ok", "resident and evicted tokens, from /metrics")
    elif facts.turns is not None:  # after a batch the gauges are there, if this release has them
        yield Finding("resident", "note", "this release does not tell resident tokens", "update to SGLang 0.5.17 or later")


def _cache(facts: Facts) -> Iterator[Finding]:
    can, turns = facts.can, facts.turns
    if facts.info.get("disable_radix_cache"):
        yield Finding(
            "radix cache", "missing", "off: no prefix is ever found again", "start the server without --disable-radix-cache"
        )
    elif can.kind != "openai":
        yield Finding("radix cache", "ok", "on")
    flag = "--enable-prompt-tokens-details" if can.kind == "openai" else "--enable-cache-report"
    reported = can.cache_report if turns is None else turns.told  # what is seen counts for more than what is said
    if reported:
        yield Finding("cache report", "ok", "replies carry cached_tokens")
    elif reported is False:
        whose = "; that is vLLM's flag" if can.kind == "openai" else ""
        told = "replies do not carry cached_tokens: what each agent missed is not known"
        yield Finding("cache report", "missing", told, f"give the server {flag}{whose}", (flag,))
    if facts.turns_failed:
        yield Finding("measured", "missing", f"the request failed: {facts.turns_failed}")
    elif turns is not None and turns.told:
        yield _measured(turns, facts)


def _measured(turns: Turns, facts: Facts) -> Finding:
    saw = (
        f"a new prompt: {_of(turns.first_cached, turns.first_prompt)} tokens cached; one turn more: "
        f"{_of(turns.second_cached, turns.second_prompt)}"
    )
    if turns.moves:
        return Finding("measured", "ok", saw)
    if (turns.second_cached or 0) >= turns.expected:
        return Finding("measured", "missing", f"{saw}, but no cache can know a new prompt", "ask whoever runs the server")
    told = f"{saw}, where at least {turns.expected:,} was to be expected"
    if facts.info.get("disable_radix_cache"):
        return Finding("measured", "missing", told)
    if facts.ranks > 1:
        mend = f"turns go to different ranks: start {facts.ranks} servers of one rank each, and name each by --engine"
    elif facts.stats is not None and facts.stats.running_requests:
        mend = "others use the server now: check again when it is idle"
    else:
        mend = "the chat template may rewrite earlier turns, or this model's cache does not keep them"
    return Finding("measured", "missing", told, mend)


def _helps(facts: Facts) -> Iterator[Finding]:
    can, info = facts.can, facts.info
    if can.kind == "openai":
        return
    if can.session_close:
        yield Finding("session cache", "ok", "on: the KV of ended agents is evicted first")
    else:
        told = "off: the KV of ended agents may outlive that of agents that wait for a tool"
        yield Finding("session cache", "optional", told, *_give("--enable-session-radix-cache", facts))
    if can.priority:
        yield Finding("priority", "ok", "on: requests may carry a priority")
    elif info.get("enable_priority_scheduling"):
        told = "on, but smaller is more urgent there, the opposite of ours: no priorities are sent"
        yield Finding("priority", "optional", told, "start the server without --schedule-low-priority-values-first")
    else:
        yield Finding(
            "priority", "optional", "off: requests are served as they come", *_give("--enable-priority-scheduling", facts)
        )
    if can.abort:
        yield Finding("abort", "ok", "requests that are given up are aborted there at once")
    parser = info.get("tool_call_parser")
    if parser:
        yield Finding("tool calls", "ok", f"parsed as {parser}'s")
    elif can.kind == "sglang":
        mend = "for agents with tools, give the server --tool-call-parser NAME"
        yield Finding("tool calls", "note", "not parsed: they arrive as text", mend)


_OF_SIMULATOR = {  # what stands for SGLang's flags in `concur engine sim`
    "--enable-session-radix-cache": "--set sim.session_cache=true",
    "--enable-priority-scheduling": "--set sim.priority_scheduling=true",
}


def _give(flag: str, facts: Facts) -> tuple[str, tuple[str, ...]]:
    if facts.can.kind == "sim":
        flag = _OF_SIMULATOR.get(flag, flag)
    return f"give the server {flag}", (flag,)


def _of(cached: int | None, prompt: int) -> str:
    return f"{cached or 0:,} of {prompt:,}"


def _is_old(version: Any) -> bool:
    """Whether it is older than what we understand; of what is no release number, that is not assumed."""
    told = re.match(r"(\d+)\.(\d+)\.(\d+)", version) if isinstance(version, str) else None
    return told is not None and (0, 0, 0) < tuple(map(int, told.groups())) < OLDEST
