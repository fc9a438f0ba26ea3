"""What to say of a journal line that cannot be read."""

from __future__ import annotations

from pathlib import Path

import msgspec

from concur_batch.errors import RunDirectoryError
from concur_batch.records import VERSION, decoder


def broken(line: bytes, path: Path, number: int, error: Exception) -> RunDirectoryError:
    """The error to raise for line `number` (from 1) of `path`, on which a decoder has raised `error`.

    Whichever that was: it says the same of the same line.
    """
    hint = f"broken journal line ({_told(line) or error})"
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


def _told(line: bytes) -> str:
    """What is said of it by whoever reads it alone and whole; empty where that finds no fault."""
    try:
        decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return str(error)
    return ""
