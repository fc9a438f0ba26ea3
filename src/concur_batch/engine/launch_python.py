"""Finding the Python that has SGLang, without importing it: that takes a dozen seconds and a GPU."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from concur_batch.errors import InputError

_PATIENCE_S = 60.0  # a Python on a slow network disk

# What that Python is asked. Flags are looked for in the text of SGLang's own options: a flag it does not know would be refused.
_LOOK = """
import importlib.util, json, pathlib, sys
from importlib import metadata
spec = importlib.util.find_spec("sglang")
homes = [pathlib.Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
home = next((place for place in homes if (place / "launch_server.py").is_file()), None)
version, text = None, ""
if home:
    files = [home / "srt/server_args.py", *(home / "srt/arg_groups").rglob("*.py")]
    text = "".join(file.read_text(encoding="utf-8", errors="replace") for file in files if file.is_file())
    try:
        version = metadata.version("sglang")
    except metadata.PackageNotFoundError:
        pass
known = [flag for flag in sys.argv[1:] if not text or flag in text or flag[2:].replace("-", "_") in text]
print(json.dumps({"found": home is not None, "version": version, "known": known}))
"""


class Installation(NamedTuple):
    """SGLang in one environment. `known`: those of the flags asked for that this release has."""

    python: str
    version: str | None
    known: tuple[str, ...]


def find_sglang(python: str | None, flags: Sequence[str]) -> Installation:
    """In the environment of `python` (an interpreter, or a virtual environment's folder), or else in our own.

    Raises InputError with the mend where there is none.
    """
    path = sys.executable if python is None else _interpreter(python)
    try:
        done = subprocess.run(  # noqa: S603 - the user's own Python
            [path, "-c", _LOOK, *flags],
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        told = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError):
        raise InputError(f"--python {path}: does not answer as a Python does; give the one that has SGLang") from None
    if told["found"]:
        return Installation(path, told["version"], tuple(told["known"]))
    if python is None:
        raise InputError(
            "SGLang is not installed beside concur: install it with `pip install 'concur-batch[sglang]'`, or name the Python of "
            "the environment that has it by --python PATH (or CONCUR_SGLANG_PYTHON)"
        )
    raise InputError(f"--python {path}: has no sglang; install it there with `{path} -m pip install sglang`, or give another")


def _interpreter(python: str) -> str:
    given = Path(python).expanduser()
    if given.is_dir():
        given = given / "bin" / "python"
    if given.is_file() and os.access(given, os.X_OK):
        return os.path.abspath(given)  # noqa: PTH100 - following links would lose the environment
    found = shutil.which(python) if given.name == python else None
    if found is None:
        raise InputError(f"--python {python}: there is no such Python; give an interpreter, or a virtual environment's folder")
    return found
