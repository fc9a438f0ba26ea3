"""What an agent gets to work with. Journaling, resume, pausing and limits happen here, without the agent's doing.

Calls are numbered in the order made. On resume the agent runs again, and its n-th call is answered from the journal while
its hash is the recorded one (docs/architecture.md, "Resume by replay").
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from concur_batch import errors
from concur_batch import records as r
from concur_batch.agent import call_records
from concur_batch.agent.budget import Budget, most_tokens
from concur_batch.agent.call_records import Observation
from concur_batch.agent.limits import Leash, WallTime
from concur_batch.agent.past import Call, PastCall, reply_of
from concur_batch.agent.replay import Past, PastCalls, left_s
from concur_batch.agent.requests import Conversation, Offers, check_asked, hash_call, merged
from concur_batch.agent.setting import Setting, Spent, listed, names_of
from concur_batch.control.base import AgentView
from concur_batch.engine.base import Reply, Request
from concur_batch.errors import AgentError, LimitReached
from concur_batch.lane import Completed, Lane
from concur_batch.recorder import Recorder
from concur_batch.retry import Effort
from concur_batch.task import Message, own
from concur_batch.toolbox.base import OpenToolbox, ToolOutput

_log = logging.getLogger(__name__)

_NOT_REPEATED = "rollout %s: its agent did not repeat itself on resume: it ended without %d of the calls that it had made before"

_TOLD = 10  # who goes on calling after a limit was raised so often will not be ended by raising it

_EARLIER = -1  # breaks of the stride by the end of an earlier process: it ended with one

_LEAVE_S = 5.0  # for calls that an agent left under way to end when cancelled

_Run = Callable[[str, str | dict[str, Any]], Awaitable[ToolOutput]]


class Context:
    """One rollout's means: `complete`, `call`, a clock, a random source. Attributes are for reading."""

    def __init__(
        self, setting: Setting, lane: Lane, view: AgentView, toolbox: OpenToolbox, recorder: Recorder, past: Past | None
    ) -> None:
        self.task = setting.task.own()
        self.seed = setting.seed
        self.random = random.Random(setting.seed)  # noqa: S311 - reproducible on purpose
        self.plan_first = setting.plan_first
        self.now = 0.0
        """Seconds since the rollout began, as of its last answer: it stands still in between, so that replay is exact."""
        self.spent = Spent()
        self.wall_time = WallTime(left_s(setting.limits.timeout_s, past))
        self._setting = setting
        self._lane = lane
        self._view = view
        self._toolbox = toolbox
        self._recorder = recorder
        self._past = PastCalls(past)
        self._offers = Offers(setting.offered_names)
        self._told: Counter[asyncio.Task[Any] | None] = Counter()  # how often each of its tasks was told that a limit is reached
        self._calling: dict[asyncio.Task[Any], object] = {}  # the tasks in which calls are under way, with what tells each call
        self.leash = Leash(self._calling)
        self._over = False
        self._talk = Conversation(setting.task.messages, self._breaks if past is None else _EARLIER)
        self._budget = Budget(setting.limits, Spent())
        for call in self._past.left():
            self._budget.spent.past(call)  # whether or not the agent has asked for it again
        self._under_way = 0  # model calls, from the boundary to the reply
        self._one_ended = asyncio.Event()

    @property
    def workspace(self) -> Path:
        """The rollout's own folder, where its tools work."""
        return self._toolbox.workspace

    @property
    def prompt(self) -> list[Message]:
        """The task's messages, as a new list of this rollout's own to append to."""
        return [own(message) for message in self.task.messages]

    async def close(self) -> None:
        """The agent has ended: a call that it left under way is cancelled, and none can be made any more.

        Else such a call would write behind the rollout's last record, or take a slot that nobody gives back.
        """
        self._over = True
        closing = asyncio.current_task()  # in a call still, where it was left there
        if left := [task for task in self._calling if task is not closing]:
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=_LEAVE_S)

    def settle(self, *, completed: bool) -> None:
        """It is over for good: what earlier segments did counts also where the agent has not asked for it again."""
        left = self._past.left()
        for call in left:
            self.spent.past(call)
        if left and completed:
            _log.warning(_NOT_REPEATED, self._setting.rollout, len(left))

    async def _begin(self) -> asyncio.Task[Any]:
        """This task waits for a slot, the engine or a tool from now on, until it is taken out of `_calling`."""
        if self._over or self.leash.torn:
            await self.leash.hold_up()
            raise AgentError("a call was made after the agent had returned; await all that it begins")
        task = asyncio.current_task()
        assert task is not None
        self._calling[task] = object()
        return task

    async def _take(self, key: str, asked: str, *kinds: type[Call]) -> tuple[int, Call | None]:
        """The number of a call, and its past, once it is its turn to be answered. A tool call that the agent once gave up has no answer:
        it is given up again, or else counts as interrupted. None of this time counts: it did when the call was made.
        """
        task = await self._begin()
        try:
            n, past = await self._past.take(key, asked, *kinds)
            if past is None:
                return n, None
            self.wall_time.suspend()
            try:
                async with self._past.turn(n, past):
                    if isinstance(past, PastCall) and (end := past.given_up) is not None:
                        # What gives it up may have begun to wait when the rollout began, and waited through its pauses.
                        await asyncio.sleep(self._past.wall_s + _LEAVE_S)
                        self.spent.tool(end)
            except BaseException:
                self.spent.past(past)
                raise
            finally:
                self.wall_time.resume()
        finally:
            del self._calling[task]
        return n, past

    # Model -----------------------------------------------------------------------------------------------------------

    async def complete(
        self, messages: list[Message], *, tools: Iterable[str | dict[str, Any]] | None = None, **sampling: Any
    ) -> Reply:
        """One model call: a step. `tools`: names or schemas to offer, in place of the task's; `sampling`: over the task's.

        Pauses before the call when the limit asks for it. Raises EngineError where retrying does not help; a limit
        that is reached ends the rollout from within, also where it cut this reply off.
        """
        check_asked(messages, sampling)
        names = self._offers.newest = self._setting.offered_names if tools is None else names_of(tools := listed(tools))
        key = self._talk.hash(messages, tools, sampling)
        sampling = merged(self._setting.sampling, sampling)
        n, past = await self._take(key, "a model call", r.ReplyReceived, r.CallFailed)
        if isinstance(past, r.ReplyReceived):
            self._offers.answered(past.message, names)
            return await self._reply_again(past, messages, sampling)
        if isinstance(past, r.CallFailed):
            self._spend_failed(past)
            raise errors.named(past.error, past.message)
        await self._check_limits(messages)
        while self._budget.may_be_full(self._under_way):
            self._one_ended.clear()
            await self._one_ended.wait()
            await self._check_limits(messages)
        task = await self._begin()
        self._under_way += 1
        try:
            await self._boundary()
            returns = self._view.returns
            await self._check_limits(messages)  # of calls made at once, others may have been answered meanwhile
            step, number = self.spent.steps + 1, self._talk.number(messages)
            request = self._request(messages, tools, sampling, step, n)
            kept = self._lane.gate.began(self._view, number)
            effort, began = Effort(), self._recorder.now()
            try:
                done = await self._lane.complete(request, self.wall_time, effort)
            except errors.EngineError as error:
                self._take_failure(error, key, request)
                raise
            except asyncio.CancelledError:
                self.spent.call_cut_off(self._recorder.now() - began, wait_s=effort.wait_s, retry_s=effort.retry_s)
                raise
            finally:
                self._lane.gate.ended(self._view, number)
        finally:
            del self._calling[task]
            self._under_way -= 1
            self._one_ended.set()
        self._offers.answered(done.reply.message, names)
        record = self._take_reply(done, key, request, number, kept=kept, returns=returns)
        await self._end_with(self._budget.ended(record, sampling))
        return done.reply

    async def check_room(self, prompt_tokens: int) -> None:
        """Before a prompt of so many tokens is made. Raises ContextLengthExceeded, as its call would, where the engine cannot hold it."""
        most, key = self._lane.engine.capabilities.room_tokens, hash_call("", {"prompt_tokens": prompt_tokens})
        made = [call.hash for call in self._past.left() if not isinstance(call, PastCall)]  # to be answered as they were
        if key not in made and (made or most is None or prompt_tokens < most):
            return
        n, past = await self._take(key, "a model call", r.CallFailed)
        if not isinstance(past, r.CallFailed):
            await self._check_limits([])
            error = call_records.no_room(self._lane.name, prompt_tokens, most)
            past = self._take_failure(error, key, self._request([], [], {}, self.spent.steps + 1, n))
        raise errors.named(past.error, past.message)

    def _take_failure(self, error: errors.EngineError, key: str, request: Request) -> r.CallFailed:
        record = call_records.failed(error, request, t=self._recorder.now(), engine=self._lane.name, key=key)
        self._recorder.write(record)
        self._spend_failed(record)
        return record

    async def _boundary(self) -> None:
        self.wall_time.suspend()
        try:
            await self._lane.gate.boundary(self._view)
        finally:
            self.wall_time.resume()
            self.spent.paused_s = self._view.paused_s

    @property
    def _breaks(self) -> int:
        """How often the stride was broken in which the KV of what was sent stays: it had no slot for a while, or its engine came back empty."""
        return self._view.returns + self._lane.presence.generation

    def _request(
        self, messages: list[Message], tools: Iterable[str | dict[str, Any]] | None, sampling: dict[str, Any], step: int, n: int
    ) -> Request:
        setting, script, helps = self._setting, self.task.script, self._lane.helps
        known_tokens = self._talk.seen_tokens(messages) if self._budget.bounds_replies else 0
        bounded = self._budget.bounded(sampling, known_tokens, self._lane.engine.capabilities.context_length)
        return Request(
            rollout=setting.rollout,
            step=step,
            n=n,
            request_id=f"{setting.rollout}/{n}",
            model=setting.model or self._lane.model_for(setting.begun_with),
            messages=messages,
            tools=(setting.offered if tools is None else setting.schemas(tools)) or None,
            sampling=bounded,
            bound_is_ours=bounded is not sampling and most_tokens(sampling) is None,
            turn=script[step - 1] if script is not None and step <= len(script) else None,
            session_id=setting.rollout if helps.sessions else None,
            priority=self._lane.gate.priority(self._view) if helps.priority else None,
        )

    def _take_reply(
        self, done: Completed, key: str, request: Request, number: int, *, kept: bool, returns: int
    ) -> r.ReplyReceived:
        """`kept`, `returns`: when the call began, whether its conversation's KV should have been there, and how often the agent had returned."""
        reply, lane = done.reply, self._lane
        talk = self._talk.extend(request.messages, reply, request.n, number, self._breaks)
        unforced = kept and talk.breaks == returns + lane.presence.generation
        record = call_records.replied(done, request, talk, t=self._recorder.now(), engine=lane.name, key=key, unforced=unforced)
        self._recorder.write(record)
        self._budget.spent.reply(record)
        self._tell(reply, number)
        lane.meter.reply(
            prompt=reply.prompt_tokens,
            cached=reply.cached_tokens,
            generated=reply.completion_tokens,
            history=talk.history_tokens,
            missed=record.missed_tokens,
            fault=unforced,
        )
        self._spend(record)
        return record

    async def _reply_again(self, past: r.ReplyReceived, messages: list[Message], sampling: dict[str, Any]) -> Reply:
        reply = reply_of(past)
        number = self._talk.number(messages)
        self._talk.extend(messages, reply, past.n, number, _EARLIER)
        self._tell(reply, number, replayed=True)
        self._spend(past)
        if self._past.ends_with(past.n):
            await self._end_with(self._budget.ended(past, sampling))
        return reply

    def _tell(self, reply: Reply, conversation: int, *, replayed: bool = False) -> None:
        self._lane.gate.replied(
            self._view,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            cached_tokens=reply.cached_tokens,
            conversation=conversation,
            replayed=replayed,
        )

    def _spend(self, x: r.ReplyReceived) -> None:
        self.spent.reply(x)
        self.now += x.model_s + x.wait_s + x.retry_s

    def _spend_failed(self, x: r.CallFailed) -> None:
        self.spent.failed(x)
        self.now += x.wait_s + x.retry_s

    async def _check_limits(self, messages: list[Message]) -> None:
        context_tokens, model_tokens = self._talk.seen_tokens(messages), self._lane.engine.capabilities.context_length
        await self._end_with("timeout" if self.wall_time.expired else self._budget.reached(context_tokens, model_tokens))

    async def _end_with(self, status: str | None) -> None:
        """A limit that is reached, if any, ends the rollout."""
        if status is None:
            return
        task = asyncio.current_task()
        self._told[task] += 1
        if self._told[task] > _TOLD:
            await self.leash.let_go(LimitReached(status))
        raise LimitReached(status)

    # Tools -----------------------------------------------------------------------------------------------------------

    async def call(self, name: str, arguments: str | dict[str, Any], call_id: str | None = None) -> Observation:
        """One tool call, recorded before it runs and after. What the tool does wrong is told in the observation.

        `arguments`: an object, or the JSON text that the model wrote. Never runs twice unless the tool is repeatable:
        an interrupted call is reported as such on resume.
        """
        return await self._call(name, arguments, call_id, self._toolbox.call)

    async def _call(self, name: str, arguments: str | dict[str, Any], call_id: str | None, run: _Run) -> Observation:
        key = hash_call(name, arguments)
        n, past = await self._take(key, f"a call of {name}", PastCall)
        if isinstance(past, PastCall) and past.finished is not None and not past.given_up:
            return self._observe(past.finished, call_id)
        recorder, spec = self._recorder, self._setting.specs.get(name)
        started = r.ToolStarted(
            t=recorder.now(),
            rollout=self._setting.rollout,
            step=self.spent.steps,
            n=n,
            tool=name,
            hash=key,
            call_id=call_id,
            repeatable=spec is not None and spec.repeatable,
        )
        if past is not None and not started.repeatable:
            output = call_records.interrupted()
        else:
            gate, view = self._lane.gate, self._view
            task = await self._begin()
            try:
                recorder.write(started)
                gate.tool_began(view)
                try:
                    output = await run(name, arguments)
                except BaseException as error:
                    self._take_cut_off(started, given_up=isinstance(error, asyncio.CancelledError))
                    raise
                finally:
                    gate.tool_ended(view)
            finally:
                del self._calling[task]
        record = call_records.observed(output, started, recorder.now())
        recorder.write(record)
        return self._observe(record, call_id)

    def _take_cut_off(self, started: r.ToolStarted, *, given_up: bool) -> None:
        now = self._recorder.now()
        if not given_up or self._over or self.leash.over:
            self.spent.tool_cut_off(now - started.t)
            return
        record = call_records.given_up(started, now)
        self._recorder.write(record)
        self.spent.tool(record)

    def _observe(self, x: r.ToolFinished, call_id: str | None) -> Observation:
        self.spent.tool(x)
        self.now += x.wait_s + x.seconds
        message = call_records.message_of(x, call_id)
        self._talk.know(message, x.n)
        return Observation(x.output, x.ok, message)

    async def call_all(self, calls: Iterable[dict[str, Any]]) -> list[Observation]:
        """All calls of a model's turn concurrently, in wire form; observations in call order.

        A tool that was not offered to the model in the call that asked for it is not run: the observation says so.
        """
        wanted = [self._of_model(call) for call in calls]
        if len(wanted) == 1:
            return [await wanted[0]]
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(call) for call in wanted]
        return [task.result() for task in running]

    def _of_model(self, call: dict[str, Any]) -> Coroutine[Any, Any, Observation]:
        function, offered = call["function"], self._offers.of(call)
        run = self._toolbox.call if function["name"] in offered else partial(call_records.refused, offered)
        return self._call(function["name"], function["arguments"], call["id"], run)
