"""`concur engine sim` and `concur engine fit`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from concur_batch.cli import parts
from concur_batch.cli.engine.asking import asking
from concur_batch.config import resolve, server_key
from concur_batch.config.places import placing
from concur_batch.errors import InputError
from concur_batch.sim.profile import profile_to_toml
from concur_batch.sim.tokens import Tokenizer


def serve_simulated(
    options: Mapping[str, Any],
    sets: Sequence[str],
    config_file: Path | None,
    *,
    host: str,
    port: int,
    template: bool,
    api_key: str | None,
) -> int:
    """Serve until SIGINT or SIGTERM. Returns the exit code; raises InputError."""
    from concur_batch.engine.server.serve import ServerSettings, serve  # noqa: PLC0415 - uvicorn and starlette

    config = resolve(options, sets, config_file, os.environ)
    for entry in sets:
        if not entry.startswith("sim."):
            raise InputError(f"--set {entry}: a simulated server takes keys of [sim] only")
    profile = parts.profile_of(config.engine.urls[0])
    with placing(config):
        server = parts.server_options(profile, config.sim)
    return serve(
        ServerSettings(
            options=server,
            cost=profile.cost,
            model=config.engine.model or profile.model,
            profile=profile.name,
            speed=config.sim.speed,
            host=host,
            port=port,
            tokenizer=Tokenizer(config.sim.chars_per_token, template=template),
            api_key=api_key,
        )
    )


def fit_profile(url: str, output: Path, *, seconds: float, api_key: str | None, force: bool) -> int:
    """Measure and write, over a file only where forced. Returns the exit code; raises ConcurError."""
    from concur_batch.engine.fit import fit  # noqa: PLC0415 - the SDK's transport

    _refuse(output, force=force)
    key = server_key(resolve({"engine.api_key": api_key}, [], None, os.environ))
    try:
        with asking():
            profile = asyncio.run(fit(url, api_key=key, report=_say, seconds=seconds))
    except KeyboardInterrupt:
        _say("concur: interrupted; nothing was written")
        return 130
    try:
        output.write_text(profile_to_toml(profile), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{output}: cannot be written ({error.strerror}); give another -o") from error
    _say(f"wrote {output}; use it as in: concur simulate --profile {output}")
    return 0


def _refuse(output: Path, *, force: bool) -> None:
    """Raises InputError for a place where no profile can or may be written: before minutes are spent on measuring."""
    if not output.name.endswith(".toml"):
        raise InputError(f"{output}: a profile file ends in .toml, or --profile does not take it; give another -o")
    if not output.parent.is_dir():
        raise InputError(f"{output}: there is no folder {output.parent}; give another -o")
    if output.exists() and not output.is_file():
        raise InputError(f"{output}: is no regular file; give another -o")
    if output.exists() and not force:
        raise InputError(f"{output}: exists already; give another -o, or add --force to replace it")


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 - the command's progress
