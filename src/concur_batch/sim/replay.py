"""What came to an engine and when, by iteration instead of by clock, so that another core can be given the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from concur_batch.sim.call import Call
from concur_batch.sim.core import EngineCore, PauseMode
from concur_batch.sim.cost import Cost
from concur_batch.sim.options import ServerOptions

Kind: TypeAlias = Literal["add", "abort", "close", "flush", "pause", "resume"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """Something that was done to an engine after `iteration` iterations had been started; the last of them was under way, or
    the engine stood.
    """

    iteration: int
    underway: bool = True
    kind: Kind = "add"
    call: Call | None = None  # of add, as it came
    name: str = ""  # request id of abort, session of close, mode of pause


class RecordingCore(EngineCore):
    """Keeps what is done to it in `arrivals`, and its decisions in `log`."""

    def __init__(self, options: ServerOptions, cost: Cost) -> None:
        super().__init__(options, cost)
        self.log = []
        self.arrivals: list[Arrival] = []

    def add(self, call: Call, now: float) -> None:
        """As the core's; what it refuses is not recorded."""
        self.run_to(now)
        arrival = Arrival(iteration=self.started(now), underway=self.next_time() is not None, call=fresh(call))
        super().add(call, now)
        self.arrivals.append(arrival)

    def abort(self, rid: str, now: float, message: str = "Abort before prefill") -> bool:
        """As the core's."""
        self._note("abort", now, rid)
        return super().abort(rid, now, message)

    def end_session(self, session: str, now: float) -> int:
        """As the core's."""
        self._note("close", now, session)
        return super().end_session(session, now)

    def flush(self, now: float) -> bool:
        """As the core's."""
        self._note("flush", now)
        return super().flush(now)

    def pause(self, mode: PauseMode, now: float) -> None:
        """As the core's; aborts that follow from it are recorded, too, and have no effect when they come again."""
        self._note("pause", now, mode)
        super().pause(mode, now)

    def resume(self, now: float) -> None:
        """As the core's."""
        self._note("resume", now)
        super().resume(now)

    def _note(self, kind: Kind, now: float, name: str = "") -> None:
        self.run_to(now)
        underway = self.next_time() is not None
        self.arrivals.append(Arrival(iteration=self.started(now), underway=underway, kind=kind, name=name))


def fresh(call: Call) -> Call:
    """The request as it came, without what became of it."""
    return Call(
        rid=call.rid,
        prompt=call.prompt,
        output=call.output,
        max_new_tokens=call.max_new_tokens,
        ignore_eos=call.ignore_eos,
        priority=call.priority,
        session=call.session,
        streamed=call.streamed,
    )


def replay(arrivals: Iterable[Arrival], options: ServerOptions, cost: Cost) -> EngineCore:
    """A core that has been given the same in the same iterations, run to its end. Its `log` holds its decisions."""
    core = EngineCore(options, cost)
    core.log = []
    feed(core, arrivals)
    return core


def feed(core: EngineCore, arrivals: Iterable[Arrival], *, strict: bool = True) -> None:
    """Give a new core all of it, and run it to its end.

    Args:
        core: has been given nothing yet.
        arrivals: by iteration.
        strict: raise ValueError where an iteration never begins, since the arrivals are another core's; else what was to come
            in it comes when the core stands.
    """
    now = 0.0
    for arrival in arrivals:
        now = _start_of(core, arrival.iteration, now, strict=strict)
        if not arrival.underway and (end := core.next_time()) is not None:
            now = end
            core.run_to(now)
        _give(core, arrival, now)
    while (end := core.next_time()) is not None:
        core.run_to(end)


def _start_of(core: EngineCore, iteration: int, now: float, *, strict: bool) -> float:
    """Run until so many iterations have been started; returns the moment at which the last of them began."""
    while core.started(now) < iteration:
        began = core.began(iteration)
        if began is not None:
            return began
        end = core.next_time()
        if end is None:
            if not strict:
                break
            raise ValueError(f"iteration {iteration} never begins: this is not what the core was given")
        now = end
        core.run_to(now)
    return now


def _give(core: EngineCore, arrival: Arrival, now: float) -> None:
    match arrival.kind:
        case "add":
            assert arrival.call is not None
            core.add(fresh(arrival.call), now)
        case "abort":
            core.abort(arrival.name, now)
        case "close":
            core.end_session(arrival.name, now)
        case "flush":
            core.flush(now)
        case "pause":
            mode: PauseMode = "retract" if arrival.name == "retract" else "abort" if arrival.name == "abort" else "in_place"
            core.pause(mode, now)
        case "resume":
            core.resume(now)
