"""From a request to what the engine is given, and what it will say."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import Any

from concur_batch.engine.scripted_turn import finish_reason_of, message_of
from concur_batch.engine.server.bodies import ChatBody, Common, Turn, check_messages
from concur_batch.engine.server.filler import MARK, filler, own_length, seed_of
from concur_batch.engine.server.problems import Problem
from concur_batch.engine.server.service import Service
from concur_batch.sim.call import NO_PRIORITY, Call
from concur_batch.sim.runs import Run, length
from concur_batch.sim.tokens import MOST_TOKENS, Tokenizer
from concur_batch.task import Message, ScriptedTurn

# NONCE-SERIAL-ROLLOUT/CALL~RETRY, as our own adapter makes them; the first part may be missing. Calls are not only those of the
# model, so the step does not follow from their number.
_RID = re.compile(r"(?:[0-9a-f]{8}-\d+-)?(?P<rollout>.+)/\d+(?:[+~]\d+)*")


@dataclass(slots=True, kw_only=True)
class Plan:
    """One request and its reply."""

    call: Call
    model: str  # told in the reply
    content: str  # when all has been said
    finish_reason: str = "stop"  # then
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    has_content: bool = True  # False: nothing but tool calls, and the content is null

    @property
    def is_complete(self) -> bool:
        """All has been said."""
        return self.call.finish_reason != "abort" and self.call.generated == length(self.call.output)

    @property
    def reason(self) -> str:
        """OpenAI's `finish_reason`, or SGLang's `abort`."""
        if self.call.finish_reason == "abort":
            return "abort"
        return self.finish_reason if self.is_complete else "length"


def plan_chat(service: Service, body: ChatBody) -> Plan:
    """Raises Problem where SGLang would refuse."""
    check_messages(body.messages)
    asked = body.max_completion_tokens or body.max_tokens
    context = service.options.context_length
    if asked and asked > context:
        raise Problem(f"max_completion_tokens is too large: {asked}.This model supports at most {context} completion tokens.")
    prompt = service.tokenizer.prompt(body.messages, body.tools)
    if body.concur_turn is None:
        return plan_filler(service, body, prompt, asked, ignore_eos=body.ignore_eos, chat=True)
    check_lengths(service, prompt, asked)
    turn, rollout, step = place_of(body.concur_turn, body.rid, body.messages, prompt)
    message = message_of(turn, rollout, step)
    call = _call(body, prompt, service.tokenizer.reply(message), asked, ignore_eos=body.ignore_eos)
    return Plan(
        call=call,
        model=body.model,
        content=message.get("content") or "",
        finish_reason=finish_reason_of(turn),
        tool_calls=message.get("tool_calls") or [],
        has_content="content" in message,
    )


def plan_filler(
    service: Service, body: Common, prompt: list[Run], asked: int | None, *, ignore_eos: bool, chat: bool = False
) -> Plan:
    """Text of the asked length in tokens; without one, as long as the prompt's hash says. Raises Problem as SGLang would refuse.

    Args:
        service: the server.
        body: of the request.
        prompt: its tokens.
        asked: tokens to generate.
        ignore_eos: go on to the end of the context where no length is asked.
        chat: the reply closes its turn.
    """
    check_lengths(service, prompt, asked)
    seed = seed_of(prompt)
    room = max(1, service.core.longest - length(prompt))
    if asked is None and not ignore_eos:
        tokens, ends = min(own_length(seed), room), True
    else:
        tokens, ends = min(room if asked is None else max(1, asked), room), False
    text = filler(tokens, service.chars_per_token, seed)
    output = _closed(service.tokenizer, text) if chat and ends else service.tokenizer.text(text)
    if not ends:
        output = [*output, Run("more", 0, 1)]  # never said: the limit comes first
    call = _call(body, prompt, output, asked, ignore_eos=ignore_eos)
    return Plan(call=call, model=body.model + MARK, content=text)


def check_lengths(service: Service, prompt: list[Run], asked: int | None) -> None:
    """Raises Problem for a reply that cannot have the length asked for (tokenizer_manager.py:1354)."""
    if asked is None:
        return
    if asked < 0:
        raise Problem(f"max_new_tokens must be at least 0, got {asked}.")
    tokens, context = length(prompt), service.options.context_length
    if tokens < context < tokens + asked:
        raise Problem(
            f"Requested token count exceeds the model's maximum context length of {context} tokens. You requested a total of "
            f"{tokens + asked} tokens: {tokens} tokens from the input messages and {asked} tokens for the completion. Please "
            "reduce the number of tokens in the input messages or the completion to fit within the limit."
        )


def _call(body: Common, prompt: list[Run], output: list[Run], asked: int | None, *, ignore_eos: bool) -> Call:
    return Call(
        rid=uuid.uuid4().hex if body.rid is None else body.rid,
        prompt=prompt,
        output=output,
        max_new_tokens=asked,
        ignore_eos=ignore_eos,
        priority=NO_PRIORITY if body.priority is None else body.priority,
        session=body.session_id,
        streamed=body.stream,
    )


def _closed(tokenizer: Tokenizer, text: str) -> list[Run]:
    return tokenizer.reply({"role": "assistant", "content": text})


def place_of(turn: Turn, rid: str | None, messages: list[Message], prompt: list[Run]) -> tuple[ScriptedTurn, str, int]:
    """The turn, the rollout it belongs to, and its step there: as told, else from `rid` and from how many turns there were."""
    if any(not isinstance(call.get("name"), str) for call in turn.tool_calls):
        raise Problem("concur_turn.tool_calls: each needs a name.")
    if turn.tokens is not None and not 1 <= turn.tokens <= MOST_TOKENS:
        raise Problem(f"concur_turn.tokens must be 1 to {MOST_TOKENS}, got {turn.tokens}.")
    found = _RID.fullmatch(rid or "")
    rollout = turn.rollout or (found["rollout"] if found else rid or f"{seed_of(prompt):016x}")
    step = turn.step if turn.step is not None else 1 + sum(message["role"] == "assistant" for message in messages)
    scripted = ScriptedTurn(
        content=turn.content, tool_calls=tuple(turn.tool_calls), tokens=turn.tokens, finish_reason=turn.finish_reason
    )
    return scripted, rollout, step
