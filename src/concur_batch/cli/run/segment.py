"""One segment of a run: the process-wide setting, engines probed, everything joined, run, and closed in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from concur_batch import records as r
from concur_batch.agent.replay import History
from concur_batch.cli import directory, parts
from concur_batch.cli.agents import Agents
from concur_batch.cli.assembly import assemble, record_start
from concur_batch.cli.keyboard import Keyboard, listens
from concur_batch.cli.keys import RUN_KEYS, RunKeys
from concur_batch.cli.run import blocked, opening
from concur_batch.cli.run.log_lines import VisibleFormatter
from concur_batch.cli.run.measure import measure
from concur_batch.cli.run.observers import observers
from concur_batch.config import Config
from concur_batch.dashboard.display import show
from concur_batch.dashboard.foreground import is_here
from concur_batch.engine.base import Engine
from concur_batch.errors import AgentError, ConcurError, EngineDown, EngineSilent, InputError
from concur_batch.jobs.job import Job
from concur_batch.journal.writer import JournalWriter, segments
from concur_batch.lane import Lane
from concur_batch.plan import Retry, plan
from concur_batch.recorder import Recorder, Sink
from concur_batch.runner import Runner
from concur_batch.state import RunState
from concur_batch.toolbox.threads import DaemonExecutor
from concur_batch.toolbox.tools import Tools

_log = logging.getLogger(__name__)

_THREADS = 64  # for what agents give to `asyncio.to_thread`


@dataclass(slots=True, kw_only=True)
class Batch:
    """What one segment works on. `state` and `history` hold the earlier segments."""

    run_dir: Path
    config: Config
    job: Job
    toolbox: Tools
    history: History
    state: RunState
    retry: Retry
    settle: Callable[[], None] = lambda: None  # keeps what this segment is run with; called once its engines have answered
    console: Console = field(default_factory=Console)  # for display and summary
    keys: bool = False  # a person may steer from the terminal
    alone: bool = True  # False: one run of a comparison, into which nothing goes that it would come to when resumed
    segment: Path | None = None  # where its journal is, once that is open


@dataclass(slots=True, kw_only=True)
class Outcome:
    """How a segment ended."""

    cause: str = "stopped"  # finished | drained | stopped | engine | failed
    signals: list[int] = field(default_factory=list)
    error: ConcurError | None = None
    summary: dict[str, Any] | None = None  # once the results are written, or could not be


def run_segment(batch: Batch) -> Outcome:
    """Run until all has ended, or a signal, a lost engine or a broken journal stops it. Raises ConcurError before it began."""
    _raise_file_limit()
    _log_to(batch.run_dir)
    with (
        observers(batch.run_dir, batch.config, batch.state) as sinks,
        asyncio.Runner(loop_factory=_loop_factory()) as runner,
    ):
        runner.get_loop().set_default_executor(DaemonExecutor(_THREADS))
        try:
            return runner.run(_segment(batch, sinks))
        except SystemExit as error:
            raise AgentError(
                f"an agent or a tool called sys.exit({error.code}) in a task of its own, which ends the whole run; "
                f"mend that and go on with: {directory.resuming(batch.run_dir)}"
            ) from error


def write_closing_segment(batch: Batch) -> None:
    """A segment in which nothing was left to run: it says that the run is finished."""
    writer = _journal(batch)
    try:
        recorder = Recorder(lambda: 0.0, writer.write, batch.state.apply)
        record_start(recorder, batch.config, tasks=batch.job.tasks, rollouts=batch.job.rollouts)
        recorder.write(r.SegmentFinished(t=0.0, cause="finished"))
    finally:
        writer.close()


async def _segment(batch: Batch, observing: Sequence[Sink]) -> Outcome:
    config, outcome = batch.config, Outcome()
    engines = parts.engines(config)
    try:
        await probe_all(engines, config)
        served = [(engine, _model(engine, config, batch.history)) for engine in engines]
        agents = Agents(config)
        await agents.prepare(served, batch.run_dir, resumed=bool(segments(batch.run_dir)))
        batch.settle()
        writer = _journal(batch)
    except BaseException:
        for engine in engines:
            await engine.aclose()
        raise
    loop = asyncio.get_running_loop()
    recorder = Recorder(loop.time, writer.write, batch.state.apply, *observing)
    rollouts = plan(batch.job, parts.defaults(config), batch.toolbox, agents.find, batch.history, batch.retry)
    runner, lanes = assemble(rollouts, batch.toolbox, served, config, recorder, batch.state)
    closing = asyncio.Event()
    display = measuring = None
    keys = RunKeys(runner, lambda: _quit(runner, outcome.signals), batch.job.rollouts)
    console, live = batch.console, config.run.live
    keyboard = Keyboard(loop, console, RUN_KEYS, keys.press) if batch.keys and live and listens(console) else None
    try:
        _open(recorder, batch, lanes)
        measuring = loop.create_task(measure(recorder, runner.take_lag), name="measure")
        display = loop.create_task(
            show(
                batch.state,
                console,
                recorder.now,
                closing,
                live=live,
                title=batch.run_dir.name,
                view=lambda: keys.views.shown,
                keys=keyboard is not None,
            ),
            name="display",
        )

        def on_screen() -> bool:
            return live and console.is_terminal and not console.is_dumb_terminal and is_here(console)

        def leave() -> None:
            with contextlib.suppress(OSError):
                os.write(2, f"\nleft at once; go on with: {directory.resuming(batch.run_dir)}\n".encode())
            if keyboard is not None:
                keyboard.restore()

        steering = keyboard or contextlib.nullcontext()
        with _signals(loop, runner, outcome.signals, leave, on_screen=on_screen), steering, blocked.told(loop):
            complete = await runner.run(lanes, sample_rest=True)
        outcome.cause = "finished" if complete else "stopped" if len(outcome.signals) > 1 else "drained"
    except ConcurError as error:
        outcome.error = error
        outcome.cause = "engine" if error.error_class == "engine_down" else "failed"
    finally:
        with contextlib.suppress(ConcurError):  # a broken journal has been reported where it broke
            recorder.write(r.SegmentFinished(t=recorder.now(), cause=outcome.cause))
        closing.set()
        if measuring is not None:
            measuring.cancel()
        if display is not None:
            await asyncio.gather(display, return_exceptions=True)
        for lane in lanes:
            await lane.close()
        await batch.toolbox.aclose()
        writer.close()
    return outcome


def _journal(batch: Batch) -> JournalWriter:
    """Its segment, with which it has begun."""
    writer = JournalWriter(batch.run_dir)
    batch.segment = writer.path
    return writer


def _open(recorder: Recorder, batch: Batch, lanes: Sequence[Lane]) -> None:
    """A segment's first records, and what the user has to know before it runs."""
    record_start(recorder, batch.config, tasks=batch.job.tasks, rollouts=batch.job.rollouts)
    for lane in lanes:
        lane.announce()
    console = Console(stderr=True, highlight=False)
    for line in opening.lines(batch.run_dir, batch.config, batch.job, batch.history, lanes):
        console.out(line, highlight=False)
    if batch.job.uses_tool(("shell", "python"), batch.toolbox.offered):
        for warning in batch.toolbox.warnings:
            console.out(f"note: {warning}", highlight=False)
    else:  # tools and agents of the user's own may run commands all the same
        batch.toolbox.when_unconfined(blocked.say)


# Engines ---------------------------------------------------------------------------------------------------------------


async def probe_all(engines: Sequence[Engine], config: Config) -> None:
    """Find out what each engine is. Raises EngineError when one does not answer in time or is no model server."""
    await asyncio.gather(*(_probe(engine, config.engine.start_wait_s) for engine in engines))


async def _probe(engine: Engine, patience_s: float) -> None:
    clock = asyncio.get_running_loop().time
    deadline = clock() + patience_s
    while True:
        try:
            async with asyncio.timeout(max(patience_s, 1.0) + 10.0):
                await engine.probe()
        except TimeoutError:
            raise EngineDown(f"{engine.name}: takes connections and does not answer; is it still loading its model?") from None
        except EngineDown as error:
            if clock() >= deadline:
                raise EngineDown(f"{error}; {_mend(error)}") from error
            await asyncio.sleep(0.5)
        else:
            return


def _mend(error: EngineDown) -> str:
    if isinstance(error, EngineSilent):
        return "does it hang, or still load its model? See its log, or correct --engine"
    return "start it, correct --engine, or wait longer with --set engine.start_wait_s=600"


def _model(engine: Engine, config: Config, history: History) -> str:
    """What to ask for where a task names no model: as before, where it serves that. Raises InputError for one that is not served."""
    served, wanted = engine.capabilities.models, config.engine.model
    if wanted is None:
        before = [*reversed(history.models.values())]
        if engine.name in history.models:
            before.insert(0, history.models[engine.name])
        known = [model for model in before if engine.capabilities.may_serve(model)]
        return next(iter(known or served), "")
    if not engine.capabilities.may_serve(wanted):
        raise InputError(f"--model {wanted}: {engine.name} serves {', '.join(served)}; name that, or leave --model out")
    return wanted


# The process -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _signals(
    loop: asyncio.AbstractEventLoop, runner: Runner, seen: list[int], leave: Callable[[], None], *, on_screen: Callable[[], bool]
) -> Iterator[None]:
    """First SIGINT or SIGTERM: drain. Second: stop. Third: leave at once; `leave` is called just before. `on_screen`: whether a picture tells it.

    They are counted where they arrive and not by the loop, which an agent may be blocking. SIGHUP, of a terminal that is gone, is
    a first one and never a second: kernel and shell both send it.
    """

    def drain(number: int) -> None:
        runner.drain(signal.Signals(number).name)
        if not on_screen():
            print("draining: every agent finishes its step; once more stops at once", file=sys.stderr)  # noqa: T201

    def on_signal(number: int, _: object) -> None:
        if number == signal.SIGHUP and seen:
            return
        seen.append(number)
        if len(seen) == 1:
            loop.call_soon_threadsafe(drain, number)
        elif len(seen) == 2:
            loop.call_soon_threadsafe(runner.stop)
        else:  # an agent that blocks the loop or swallows its cancelling holds the process; the journal is whole all the same
            leave()
            os._exit(128 + number)

    hangs_up = signal.getsignal(signal.SIGHUP) != signal.SIG_IGN  # not under nohup
    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    if hangs_up:
        signal.signal(signal.SIGHUP, on_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if hangs_up:
            signal.signal(signal.SIGHUP, lambda *_: None)  # the shell's may come while results are written


def _quit(runner: Runner, seen: list[int]) -> None:
    """As the first SIGINT does, after which the next signal stops; asked again, or after a signal, it does nothing."""
    if not seen:
        seen.append(signal.SIGINT)
        runner.drain("q")


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's where it is installed: 5 to 30 % less CPU per call (docs/benchmarks.md)."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _raise_file_limit() -> None:
    """One connection per agent: the soft limit of 1,024 descriptors is too low for a large window."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _log_to(run_dir: Path) -> None:
    """Everything that logs goes to a file of its own; the display is not for logs."""
    folder = run_dir / directory.LOGS
    folder.mkdir(exist_ok=True)
    number = len(list(folder.glob("*.log"))) + 1
    handler = logging.FileHandler(folder / f"{number:06d}.log", encoding="utf-8", delay=True)
    handler.setFormatter(VisibleFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.raiseExceptions = False  # a disk that is full is told where the journal meets it, and by no traceback
    for noisy in ("httpx", "httpx2", "httpcore", "httpcore2", "openai", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    sys.excepthook = sys.__excepthook__


def leave_log() -> None:
    """Write no more to the log of the run directory, which is about to go."""
    logging.basicConfig(handlers=[logging.NullHandler()], force=True)
