"""Join runner and lanes: the same for a real run and for a simulated one."""

from __future__ import annotations

import os
import platform
import socket
import time
from collections.abc import Iterator, Sequence

from concur_batch import __version__
from concur_batch import records as r
from concur_batch.config import Config
from concur_batch.control.policies import make_policy
from concur_batch.engine.base import Engine
from concur_batch.lane import Lane, LaneOptions
from concur_batch.recorder import Recorder
from concur_batch.rollout import Rollout
from concur_batch.runner import Runner
from concur_batch.state import RunState
from concur_batch.toolbox.base import Toolbox


def assemble(
    rollouts: Iterator[Rollout],
    toolbox: Toolbox,
    engines: Sequence[tuple[Engine, str]],
    config: Config,
    recorder: Recorder,
    state: RunState,
) -> tuple[Runner, list[Lane]]:
    """`engines`: each with the model to ask it for. The lanes are not announced yet."""
    runner = Runner(rollouts, toolbox, recorder, max_agents=config.run.max_agents, unfinished=lambda: state.unfinished)
    options = LaneOptions(
        attempts=config.engine.attempts,
        poll_s=config.engine.poll_s,
        wait_s=config.engine.wait_s,
        sessions=config.engine.sessions,
        priority=config.engine.priority,
    )
    lanes = [
        Lane(
            engine,
            make_policy(
                config.controller.name,
                config.controller.parameters,
                config.run.max_agents,
                engine.capabilities.capacity_tokens,
            ),
            model,
            options,
            recorder,
            max_agents=config.run.max_agents,
            seed=config.run.seed,
            on_room=runner.room,
            starting=runner.starting,
            on_gone=runner.gone,
        )
        for engine, model in engines
    ]
    return runner, lanes


def record_start(recorder: Recorder, config: Config, *, tasks: int, rollouts: int) -> None:
    """The first records of a segment."""
    recorder.write(
        r.SegmentStarted(
            t=0.0,
            epoch=time.time(),
            host=socket.gethostname(),
            pid=os.getpid(),
            version=__version__,
            python=platform.python_version(),
        )
    )
    recorder.write(r.BatchLoaded(t=recorder.now(), tasks=tasks, rollouts=rollouts, max_agents=config.run.max_agents))
