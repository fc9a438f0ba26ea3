"""What to say of a journal line that cannot be read."""

from __future__ import annotations

from pathlib import Path

import msgspec

from concur_batch.errors import RunDirectoryError
from concur_batch.records import VERSION


def broken(line: bytes, path: Path, number: int, error: Exception) -> RunDirectoryError:
    """The error to raise for line `number` (from 1) of `path`, on which the decoder has raised `error`."""
    hint = f"broken journal line ({error})"
    try:
        version = msgspec.json.decode(line).get("v", VERSION)
    except (msgspec.DecodeError, AttributeError, UnicodeDecodeError):
        version = VERSION
    if version != VERSION:
        hint = f"journal version {version}, and this concur reads version {VERSION}"
    return RunDirectoryError(
        f"{path}:{number}: {hint}; move the line out of the file and try again "
        "(a rollout at work then repeats what followed from it, and the results lack the messages of one that has ended)"
    )
