"""Which agents a configuration names, and what `replay` needs besides."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from pydantic import BaseModel

from concur_batch.agent.base import Agent, schema_of
from concur_batch.agent.recorded import REPLAY, Replay, Scale
from concur_batch.agent.registry import find_agent
from concur_batch.agent.wording import Wording, measure
from concur_batch.cli.directory import WORDING
from concur_batch.config import Config
from concur_batch.engine.base import Engine
from concur_batch.errors import InputError


class Agents:
    """The agents of one run."""

    def __init__(self, config: Config) -> None:
        self._default = config.agent.name
        replay = config.replay
        self._replay = Replay(Scale(tokens=replay.token_scale, time=replay.time_scale, shared_tokens=replay.shared_tokens))

    def find(self, name: str) -> Agent:
        """The agent of that name. Raises InputError that says what is wrong with it."""
        if name != REPLAY:
            return find_agent(name)
        if self._default != REPLAY:
            raise InputError(f"agent {REPLAY!r}: is for a whole run and no single row; give it by --agent {REPLAY}")
        return self._replay

    def schema(self, name: str | None) -> type[BaseModel] | None:
        """The row schema of that agent (None: the run's default), where it has one of its own."""
        return schema_of(self.find(name or self._default))

    async def prepare(self, engines: Sequence[tuple[Engine, str]], run_dir: Path, *, resumed: bool) -> None:
        """Once it is known whom the run is to work with. `engines`: each with the model to ask for. Raises EngineError.

        What the server counts is kept in the run directory: a resumed run says what it said before, also where another server
        counts a little otherwise by now.
        """
        if self._default != REPLAY:
            return
        kept = run_dir / WORDING
        if resumed and kept.exists():
            self._replay.wording = msgspec.json.decode(kept.read_bytes(), type=Wording)
            return
        self._replay.wording = await measure(*engines[0])
        kept.write_bytes(msgspec.json.encode(self._replay.wording))
