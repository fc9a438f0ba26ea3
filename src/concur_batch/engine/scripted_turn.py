"""A scripted turn in wire form, as the simulated engine and its server answer it."""

from __future__ import annotations

from typing import Any

import msgspec

from concur_batch.sim.tokens import marker
from concur_batch.task import Message, ScriptedTurn


def message_of(turn: ScriptedTurn, rollout: str, step: int) -> Message:
    """The assistant message. Ids of tool calls come from step and place, so that a replay gives the same ones."""
    message: Message = {"role": "assistant"}
    if turn.tokens is not None:
        message["content"] = marker(turn.tokens, f"{rollout}/{step}")
    elif turn.content is not None or not turn.tool_calls:
        message["content"] = turn.content or ""
    if turn.tool_calls:
        message["tool_calls"] = [
            {
                "id": f"call_{step}_{i}",
                "type": "function",
                "function": {"name": call["name"], "arguments": _arguments(call.get("arguments"))},
            }
            for i, call in enumerate(turn.tool_calls)
        ]
    return message


def finish_reason_of(turn: ScriptedTurn) -> str:
    """As given, or what follows from its content."""
    return turn.finish_reason or ("tool_calls" if turn.tool_calls else "stop")


def _arguments(arguments: Any) -> str:
    if isinstance(arguments, str):
        return arguments  # as a model would have written it, well-formed or not
    return msgspec.json.encode(arguments or {}).decode()
