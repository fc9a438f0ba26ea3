"""Everything that happens in a run, as one stream of records: the journal's lines. Schema for people: `docs/journal.md`.

A record is past tense. `t` is seconds on the loop clock since the opening of its segment; `segment_started` gives the
wall-clock time of that zero. Most fields at their default are left out of the line (what `is` the default: fractions rarely are).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

import msgspec

from concur_batch.task import Message

VERSION = 1

STATUSES = ("completed", "max_steps", "token_budget", "context_length", "timeout", "error", "cancelled")  # of a rollout's end
GIVEN_UP = "given_up"  # error class of a tool call that its agent cancelled, by a time-out of its own for one


# Of both the sum is a date, which ends with the year 9999.
_Epoch: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=2e11)]
_Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=5e10)]


def _version() -> int:
    return VERSION


class Record(msgspec.Struct, tag_field="kind", omit_defaults=True, kw_only=True, gc=False):
    """Base of all: `kind` (added by the codec), `t`, and the schema's version."""

    t: _Seconds
    v: int = msgspec.field(default_factory=_version)  # a factory: written although it is always the same


class SegmentStarted(Record, tag="segment_started"):
    """First line of every segment: one writing process has begun."""

    epoch: _Epoch  # seconds since 1970 at t = 0
    host: str
    pid: int
    version: str  # of concur
    python: str = ""


class BatchLoaded(Record, tag="batch_loaded"):
    """The job file has been checked as a whole."""

    tasks: int
    rollouts: int  # of this run in all, also those done in earlier segments
    max_agents: int = 0


class EngineSeen(Record, tag="engine_seen"):
    """An engine answered the probe at the start. Written again when it has returned with other capabilities (another pool, version, context
    length), or when what is used of its help for agents has changed.
    """

    engine: str
    engine_kind: str
    model: str = ""
    version: str | None = None
    capacity_tokens: int | None = None
    context_length: int | None = None
    statistics: str = ""
    policy: str = ""  # the controller in force, as it would be given on the command line
    sessions: bool = False  # requests name their agent, and it is told when one has ended
    priority: bool = False  # requests carry a priority
    note: str | None = None  # what the user should know, e.g. why another policy than asked for is in force


class EngineLost(Record, tag="engine_lost"):
    """It stopped answering; its agents wait. Written again when a server that is of no use to them stands in its place."""

    engine: str
    message: str


class EngineReturned(Record, tag="engine_returned"):
    """It answers again; its agents go on."""

    engine: str
    away_s: float


class RolloutStarted(Record, tag="rollout_started"):
    """Admitted for the first time in this attempt. Written again with `resumed` when a later segment takes it up."""

    rollout: str  # task#k
    engine: str
    task: str
    k: int
    index: int  # of the task in the job
    seed: int
    attempt: int = 1
    agent: str = "react"
    model: str = ""
    messages: list[Message] = []  # the prompt; left out when resumed
    metadata: dict[str, Any] = {}
    target: Any = None
    resumed: bool = False


class ReplyReceived(Record, tag="reply_received"):
    """A model call came to its end: one step."""

    rollout: str
    engine: str
    step: int  # from 1
    n: int  # number of this call among all calls (model and tool) of the rollout, in the order made, from 1
    hash: str  # of the request: messages, tools, sampling
    base: int  # so many messages of the conversation of call `after` stand as before ...
    new: list[int | Message]  # ... and these follow: n of a call whose message it is, or the message itself
    message: Message  # the reply
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    after: int = 0  # the model call whose conversation (its request and its reply) this one goes on from; 0: the prompt
    cached_tokens: int | None = None
    reasoning_tokens: int = 0
    history_tokens: int = 0  # of the prompt, what the engine had seen before
    missed_tokens: int | None = None  # of the history, prefilled again; None: the engine does not tell
    after_pause: bool = False  # its conversation's first after a pause, yield or resume, or after too long elsewhere
    model_s: float = 0.0  # from sending to the whole reply, last attempt
    wait_s: float = 0.0  # before sending: others to begin with, request limit, engine away
    retries: int = 0
    retry_s: float = 0.0  # lost in attempts that failed, and between them
    logprobs: Any = None  # of the reply's tokens, as the server gave them
    prompt_token_ids: Sequence[int] | None = None  # of the whole prompt, where they were asked for
    response_token_ids: Sequence[int] | None = None  # of the reply, as generated
    model: str = ""  # that the call asked for in place of the rollout's; empty: none


class CallRetried(Record, tag="call_retried"):
    """An attempt of a model call failed and is made again; the call's own record follows when it has come to its end."""

    rollout: str
    engine: str
    step: int  # that it would be
    n: int
    error: str  # the name of its class in concur_batch.errors
    message: str  # its beginning
    retries: int  # of this call so far, with the coming one
    retry_s: float  # lost so far in attempts that failed, and between them
    pause_s: float  # from now to the coming attempt


class CallFailed(Record, tag="call_failed"):
    """A model call raised an error into the agent, which may have caught it; on resume it raises it again."""

    rollout: str
    engine: str
    step: int  # that it would have been
    n: int
    hash: str
    error: str  # the name of its class in concur_batch.errors
    message: str
    wait_s: float = 0.0  # before sending: others to begin with, request limit, engine away
    retries: int = 0
    retry_s: float = 0.0  # lost in attempts that failed, the last among them, and between them
    model: str = ""  # that the call asked for in place of the rollout's; empty: none


class ToolStarted(Record, tag="tool_started"):
    """About to run; what follows may have had its effect."""

    rollout: str
    step: int
    n: int
    tool: str
    hash: str  # of name and arguments
    call_id: str | None = None
    repeatable: bool = False


class ToolFinished(Record, tag="tool_finished"):
    """The observation, as the model sees it."""

    rollout: str
    step: int
    n: int
    tool: str
    output: str
    ok: bool = True
    error_class: str | None = None  # tool | sandbox | input | interrupted | given_up
    seconds: float = 0.0  # since it was begun
    wait_s: float = 0.0  # before: for the tool's rate, for a thread
    repaired: bool = False
    truncated: bool = False
    message: Message | None = None  # where the observation's message is not the usual {"role": "tool", ...}
    call_id: str | None = None


class RolloutPaused(Record, tag="rollout_paused"):
    """Gave its slot back at a boundary."""

    rollout: str
    engine: str
    step: int  # steps done
    reason: str  # limit | drain | yield


class RolloutYielded(Record, tag="rollout_yielded"):
    """Gave its slot up in a tool call that takes long. It is paused, or returns, at its next boundary."""

    rollout: str
    engine: str
    step: int  # steps done


class RolloutReturned(Record, tag="rollout_returned"):
    """Holds a slot again. Or it waits for one no longer: its call was cancelled, by the agent itself."""

    rollout: str
    engine: str
    step: int
    paused_s: float
    slot: bool = True  # False: it is without one until its next model call, as after a yield


class ErrorInfo(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False, rename={"error_class": "class"}):
    """Why a rollout has status `error`, in `rollout_finished`."""

    error_class: str  # input | context_length | engine | engine_down | tool | sandbox | agent | internal
    message: str
    retryable: bool = False


class CutOff(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False):
    """What calls took to which no end came, in `rollout_finished`."""

    model_s: float = 0.0
    tool_s: float = 0.0  # also what of it was waiting
    wait_s: float = 0.0
    retry_s: float = 0.0


class RolloutFinished(Record, tag="rollout_finished"):
    """The one terminal record of an attempt. Rollouts that were killed have none."""

    rollout: str
    engine: str
    status: str  # completed | max_steps | token_budget | context_length | timeout | error | cancelled
    finish_reason: str | None = None  # of the last reply
    output: str | None = None
    error: ErrorInfo | None = None
    attempt: int = 1
    n_steps: int = 0
    prompt_tokens: int = 0  # sums over all steps
    cached_tokens: int | None = None
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    admission_s: float = 0.0  # from the batch's start (of the segment) to its first slot
    paused_s: float = 0.0
    wait_s: float = 0.0
    model_s: float = 0.0
    tool_s: float = 0.0  # summed over calls, also concurrent ones
    retry_s: float = 0.0
    cut_off: CutOff | None = None  # of these sums, what calls of this segment took that were cut off
    wall_s: float = 0.0  # from its first slot to its end, over all segments


class Sampled(Record, tag="sampled"):
    """What a controller saw of one engine over one interval; names as in `control.base.Sample`."""

    engine: str
    capacity_tokens: int | None = None
    locked: float | None = None
    resident: float | None = None  # told less often than `locked`, and never less here: what runs is resident
    running_requests: int | None = None
    queued_requests: int | None = None
    evicted_tokens: int | None = None
    prefill_tokens: int | None = None
    prefill_busy_seconds: float | None = None
    prompt_tokens: int = 0
    cached_tokens: int | None = None
    generated_tokens: int = 0
    history_tokens: int = 0  # of the replies without `after_pause`
    missed_tokens: int | None = None  # of the same
    active: int = 0
    waiting: int = 0
    committed_tokens: int = 0
    steps: int = 0  # replies in the interval
    touches: int = 0  # requests for one token, begun in the interval, to keep the KV of agents in tool calls
    lag_s: float = 0.0  # worst lateness of the runner's own event loop in the interval
    stale: bool = False  # no fresh reading came


class Decided(Record, tag="decided"):
    """What the controller answered. None: no limit of that kind."""

    engine: str
    agents: int | None = None
    tokens: int | None = None
    requests: int | None = None
    reason: str = ""  # hold: the limit stays; reserve: it moved for what is left free, of which journals of before say hold, too
    together: int = 1  # model calls that begin while others are in flight wait for each other until they are so many


class RunnerMeasured(Record, tag="runner_measured"):
    """The runner's own process over an interval of a few seconds. Not written in virtual time."""

    seconds: float  # length of the interval
    cpu_s: float  # CPU time that the process took in it, its tools' processes left out
    resident_bytes: int  # of memory, now
    lag_s: float = 0.0  # worst lateness of its event loop in the interval


class Steered(Record, tag="steered"):
    """A person at the dashboard took a hand; both values are those in force from now on."""

    held: bool = False  # nobody is admitted; whoever is active goes on
    factor: float = 1.0  # on all limits that the controller decides


class DrainStarted(Record, tag="drain_started"):
    """Nobody starts a new step any more."""

    cause: str  # SIGINT | SIGTERM | engine | ...


class SegmentFinished(Record, tag="segment_finished"):
    """Last line of a segment that ended in order."""

    cause: str  # finished | drained | stopped | engine | failed


AnyRecord: TypeAlias = (
    SegmentStarted
    | BatchLoaded
    | EngineSeen
    | EngineLost
    | EngineReturned
    | RolloutStarted
    | ReplyReceived
    | CallRetried
    | CallFailed
    | ToolStarted
    | ToolFinished
    | RolloutPaused
    | RolloutYielded
    | RolloutReturned
    | RolloutFinished
    | Sampled
    | Decided
    | RunnerMeasured
    | Steered
    | DrainStarted
    | SegmentFinished
)

encoder = msgspec.json.Encoder()
decoder: msgspec.json.Decoder[AnyRecord] = msgspec.json.Decoder(AnyRecord)
