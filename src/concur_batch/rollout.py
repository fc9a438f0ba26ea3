"""One rollout from its first slot to its terminal record. A rollout that is cancelled from outside leaves none: it resumes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from concur_batch import records as r
from concur_batch.agent.base import Agent, TellsPrompt
from concur_batch.agent.context import Context
from concur_batch.agent.replay import Past
from concur_batch.agent.setting import Setting, Spent
from concur_batch.control.base import AgentView
from concur_batch.errors import AgentError, ConcurError, ContextLengthExceeded, LimitReached, RunDirectoryError
from concur_batch.lane import Lane
from concur_batch.presence import EngineGone
from concur_batch.recorder import Recorder
from concur_batch.sim.tokens import Tokenizer
from concur_batch.toolbox.base import Toolbox

_log = logging.getLogger(__name__)
AGENT_RAISED = "the agent raised"  # in the log, before its traceback
_sizes = Tokenizer()  # four characters a token, whatever the model's own does


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One running of a task, ready to be started."""

    setting: Setting
    k: int
    agent: Agent
    agent_name: str
    attempt: int = 1
    past: Past | None = None

    @property
    def id(self) -> str:
        """`task#k`."""
        return self.setting.rollout

    def view(self, order: int) -> AgentView:
        """What admission knows of it before its first step."""
        task = self.setting.task
        tags = task.metadata.get("tags")
        file = task.source.rpartition(":")[0]
        group = f"{file} {self.agent_name} {tags if isinstance(tags, str | list) else ''}"
        return AgentView(
            rollout=self.id,
            order=order,
            group=group,
            prompt_tokens=self._prompt_tokens,
            most_steps=self._most_steps,
        )

    @property
    def _prompt_tokens(self) -> int:
        """Of its first call in this process, as far as one can know."""
        task = self.setting.task
        calls = () if self.past is None else self.past.calls.values()
        known = [call.prompt_tokens + call.completion_tokens for call in calls if isinstance(call, r.ReplyReceived)]
        if known:
            return max(known)
        if isinstance(self.agent, TellsPrompt):
            return self.agent.prompt_tokens(task)
        return sum(len(run) for message in task.messages for text in _texts(message.get("content")) for run in _sizes.text(text))

    @property
    def _most_steps(self) -> int | None:
        """As its limit has it; `react` without tools has nothing to go on for after its answer."""
        setting = self.setting
        if self.agent_name == "react" and not setting.offered:
            return 2 if setting.plan_first else 1
        return setting.limits.max_steps


def _texts(content: object) -> Iterator[str]:
    """Of a message as a row has it. It may be one that the engine will refuse: that is its rollout's failure and nobody else's."""
    for part in content if isinstance(content, list) else [{"text": content}]:
        text = part.get("text") if isinstance(part, dict) else None
        if isinstance(text, str):
            yield text


async def live(
    rollout: Rollout, lane: Lane, view: AgentView, toolbox: Toolbox, recorder: Recorder, stopping: Callable[[], bool]
) -> None:
    """Run it with a slot of `lane` already taken. Raises what ends the whole run (journal, lost engine), and CancelledError.

    `stopping`: whether whoever is left is being cancelled.
    """
    started = recorder.now()
    setting, past = rollout.setting, rollout.past
    tools = toolbox.open(rollout.id, setting.seed, rollout.attempt)
    ended = False
    try:
        recorder.write(_started(rollout, lane, started))
        context = Context(setting, lane, view, tools, recorder, past)
        try:
            status, output, error = await _run(rollout, context, stopping)
            if stopping():  # whatever the agent makes of being stopped, it has not ended: it goes on when the run is resumed
                raise asyncio.CancelledError
        finally:
            await _drop_own_cancels(stopping)
            await context.close()
        context.settle(completed=status == "completed")
        spent = context.spent
        if past is not None:
            spent.paused_s += past.paused_s
            spent.wait_s += past.wait_s
            spent.retry_s += past.retry_s
        recorder.write(_finished(rollout, lane, recorder.now(), started, status=status, output=output, error=error, spent=spent))
        ended = True
    finally:
        lane.leave(view, ended=ended)
        await _drop_own_cancels(stopping)
        try:
            await tools.aclose()
        except asyncio.CancelledError:
            if stopping() or not ended:
                raise  # else by what the agent has left behind, as a watchdog of its own
        finally:  # however it ended. Drained too: it loses nothing by it but its place, and may never be resumed
            if lane.helps.sessions:
                await lane.engine.close_session(rollout.id)


async def _drop_own_cancels(stopping: Callable[[], bool]) -> None:
    """Where the agent has cancelled the task that it runs in, that was meant for the agent, which has ended, and not for what comes after it."""
    task = asyncio.current_task()
    if task is None or not task.cancelling() or stopping():
        return
    while task.cancelling():
        task.uncancel()
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0)  # it may be yet to come


async def _run(rollout: Rollout, context: Context, stopping: Callable[[], bool]) -> tuple[str, str | None, r.ErrorInfo | None]:
    def over() -> bool:
        return context.wall_time.expired or stopping()

    try:
        async with context.wall_time:
            output = await context.leash.hold(rollout.agent(context.task, context), over)
    except GeneratorExit:
        raise
    except BaseException as error:  # noqa: BLE001 - the agent is the user's code: whatever it raises is this rollout's failure, not the batch's
        return _raised(rollout, context, list(_leaves(error)), stopped=stopping())
    if output is not None and not isinstance(output, str):
        return "error", None, _info(AgentError(f"the agent returned {type(output).__name__}; return a string or None"))
    return "completed", output, None


def _raised(
    rollout: Rollout, context: Context, errors: list[BaseException], *, stopped: bool
) -> tuple[str, str | None, r.ErrorInfo | None]:
    """What it ends with. Of several calls at once some may have failed: the first of the weightiest kind tells the end."""
    for leaf in errors:
        if isinstance(leaf, RunDirectoryError | EngineGone) or (stopped and isinstance(leaf, asyncio.CancelledError)):
            raise leaf
    for leaf in errors:
        if isinstance(leaf, LimitReached):
            return leaf.status, None, None
        if isinstance(leaf, ContextLengthExceeded):
            return "context_length", None, None
    error = next((leaf for leaf in errors if not isinstance(leaf, asyncio.CancelledError)), None)
    if error is None:
        return "timeout" if context.wall_time.expired else "cancelled", None, None  # by the agent itself, not by us
    if isinstance(error, ConcurError):
        return "error", None, _info(error)
    _log.error(f"rollout %s: {AGENT_RAISED}", rollout.id, exc_info=error)
    return "error", None, _info(AgentError(f"{type(error).__name__}: {error}"))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    for one in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        yield from _leaves(one)
    if not isinstance(error, BaseExceptionGroup):
        yield error


def _info(error: ConcurError) -> r.ErrorInfo:
    return r.ErrorInfo(error_class=error.error_class, message=str(error), retryable=error.retryable)


def _started(rollout: Rollout, lane: Lane, now: float) -> r.RolloutStarted:
    setting, past = rollout.setting, rollout.past
    task = setting.task
    return r.RolloutStarted(
        t=now,
        rollout=rollout.id,
        engine=lane.name,
        task=task.id,
        k=rollout.k,
        index=task.index,
        seed=setting.seed,
        attempt=rollout.attempt,
        agent=rollout.agent_name,
        model=setting.model or lane.model_for(setting.begun_with),
        messages=[] if past is not None else list(task.messages),
        metadata={} if past is not None else task.metadata,
        target=None if past is not None else task.target,
        resumed=past is not None,
    )


def _cut_off(took: r.CutOff) -> r.CutOff | None:
    seconds = {part: round(value, 6) for part, value in msgspec.structs.asdict(took).items()}
    return r.CutOff(**seconds) if any(seconds.values()) else None


def _finished(
    rollout: Rollout,
    lane: Lane,
    now: float,
    started: float,
    *,
    status: str,
    output: str | None,
    error: r.ErrorInfo | None,
    spent: Spent,
) -> r.RolloutFinished:
    past = rollout.past
    first, before = (started, 0.0) if past is None else (past.started.t, past.wall_s)
    return r.RolloutFinished(
        t=now,
        rollout=rollout.id,
        engine=lane.name,
        status=status,
        finish_reason=spent.finish_reason,
        output=output,
        error=error,
        attempt=rollout.attempt,
        n_steps=spent.steps,
        prompt_tokens=spent.prompt_tokens,
        cached_tokens=spent.cached_tokens,
        completion_tokens=spent.completion_tokens,
        reasoning_tokens=spent.reasoning_tokens,
        admission_s=first,
        paused_s=round(spent.paused_s, 6),
        wait_s=round(spent.wait_s, 6),
        model_s=round(spent.model_s, 6),
        tool_s=round(spent.tool_s, 6),
        retry_s=round(spent.retry_s, 6),
        cut_off=_cut_off(spent.cut_off),
        wall_s=round(before + now - started, 6),
    )
