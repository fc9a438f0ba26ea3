"""`concur engine check`: the findings as a table or as JSON, and what they come to."""

from __future__ import annotations

import asyncio
import json
import os
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from concur_batch.cli.engine.asking import asking
from concur_batch.config import resolve, server_key
from concur_batch.engine.check import Facts, gather
from concur_batch.engine.findings import Finding, findings, is_full
from concur_batch.errors import ConcurError, EngineDown, EngineError, InputError
from concur_batch.results.visible import visible

_WIDTH = 80
_STATE, _NAME = 10, 15  # columns
FULL, LACKING, UNREACHABLE = 0, 1, 3  # exit codes


def check(url: str, *, api_key: str | None, model: str | None, timeout_s: float, as_json: bool) -> int:
    """Print what was found. Returns the exit code; raises InputError, and EngineError where there is no model server.

    As JSON these are printed instead.
    """
    try:
        config = resolve({"engine.api_key": api_key, "engine.model": model}, [], None, os.environ)
        key = server_key(config)
        with asking():
            facts = asyncio.run(gather(url, api_key=key, model=config.engine.model, request_timeout_s=timeout_s))
    except (InputError, EngineError) as error:
        if not as_json:
            raise
        _say(json.dumps(_failed(url, error)))
        return error.exit_code
    found = findings(facts)
    _say(json.dumps(as_dict(facts, found)) if as_json else visible(render(facts, found)))
    if not facts.ready:
        return UNREACHABLE
    return FULL if is_full(found) else LACKING


def render(facts: Facts, found: Sequence[Finding]) -> str:
    """The findings within 80 columns, and at the end what they come to."""
    lines = [facts.url]
    for finding in found:
        opening = f"  {finding.state:<{_STATE}}{finding.name:<{_NAME}}"
        blank = " " * len(opening)
        lines += textwrap.wrap(finding.told, _WIDTH, initial_indent=opening, subsequent_indent=blank, **_WHOLE)
        if finding.mend:
            arrow = f"{blank}-> "
            lines += textwrap.wrap(finding.mend, _WIDTH, initial_indent=arrow, subsequent_indent=f"{blank}   ", **_WHOLE)
    lines += ["", *textwrap.wrap(_verdict(facts, found), _WIDTH, **_WHOLE)]
    flags = _flags(found)
    if flags and facts.can.kind != "openai":
        lines.append(f"Start it again with {' '.join(flags)}")  # on a line of its own, to be copied
    return "\n".join(lines)


_WHOLE: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}  # flags can be copied


def _verdict(facts: Facts, found: Sequence[Finding]) -> str:
    if not facts.ready:
        return "This server takes no requests yet."
    if facts.turns_failed:
        return "CONCUR cannot run agents on this server as it is: it lists its models, and a chat completion fails."
    if is_full(found):
        return "CONCUR can work fully with this server."
    if facts.can.kind == "openai":
        return "CONCUR can run agents on this server, but cannot see its KV cache."
    missing = [finding.name for finding in found if finding.state == "missing"]
    return f"CONCUR cannot work fully with this server: {', '.join(missing)}."


def _flags(found: Sequence[Finding]) -> list[str]:
    """The server's flags that would give what is missing."""
    return list(dict.fromkeys(flag for finding in found if finding.state == "missing" for flag in finding.flags))


def as_dict(facts: Facts, found: Sequence[Finding]) -> dict[str, Any]:
    """For programs: facts by name, None where the server does not tell, and the findings as shown."""
    can, turns = facts.can, facts.turns
    return {
        "url": facts.url,
        "reachable": True,
        "ready": facts.ready,
        "fully": is_full(found),
        "kind": can.kind,
        "version": can.version,
        "models": list(can.models),
        "context_length": can.context_length,
        "capacity_tokens": can.capacity_tokens,
        "page_size": facts.page_size if facts.info else None,
        "dp_ranks": facts.ranks if facts.info else None,
        "statistics": list(facts.sources),
        "resident": facts.stats is not None and facts.stats.resident is not None,
        "cache_report": can.cache_report if turns is None else turns.told,
        "radix_cache": not facts.info.get("disable_radix_cache") if facts.info else None,
        "session_cache": can.session_close,
        "priority": can.priority,
        "abort": can.abort,
        "tool_call_parser": facts.info.get("tool_call_parser"),
        "turns": None if turns is None else {**asdict(turns), "expected": turns.expected, "moves": turns.moves},
        "findings": [finding._asdict() for finding in found],
    }


def _failed(url: str, error: ConcurError) -> dict[str, Any]:
    """The same keys as far as they are known. What is no address may be a secret, and nobody was asked whether it answers."""
    if isinstance(error, InputError):
        return {"url": None, "reachable": None, "fully": False, "error": str(error)}
    return {"url": url, "reachable": not isinstance(error, EngineDown), "fully": False, "error": str(error)}


def _say(text: str) -> None:
    print(text)  # noqa: T201 - the command's output
