"""Opens files below a folder and nowhere else, whatever a path says and whoever swaps links meanwhile."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from concur_batch.errors import ToolError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_inside(root: Path, path: str, flags: int) -> int:
    """A descriptor of the regular file at `path`, relative to `root` or absolute below it; with O_CREAT folders are made too.

    Each part of the path is opened from the one before it, following no symbolic link. Raises ToolError, worded for a model.
    """
    parts = _parts(root, path)
    descriptor = os.open(root, _FOLDER)
    try:
        for folder in parts[:-1]:
            below = _open_folder(folder, descriptor, make=bool(flags & os.O_CREAT))
            os.close(descriptor)
            descriptor = below
        # O_NONBLOCK: opening a pipe that nobody writes to would hang
        file = os.open(parts[-1], flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644, dir_fd=descriptor)
    except OSError as error:
        raise ToolError(_reason(path, error)) from error
    finally:
        os.close(descriptor)
    mode = os.fstat(file).st_mode
    if not stat.S_ISREG(mode):
        os.close(file)
        raise ToolError(f"{path} is a folder" if stat.S_ISDIR(mode) else f"{path} is not a regular file")
    return file


def _parts(root: Path, path: str) -> list[str]:
    if "\0" in path:
        raise ToolError("a path cannot hold a NUL character")
    relative = path
    if path.startswith("/"):
        try:
            relative = str(Path(path).relative_to(root))
        except ValueError:
            raise ToolError(f"{path} is outside of the workspace; give a path relative to it") from None
    parts = [part for part in relative.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ToolError(f"{path} holds `..`; give a path inside the workspace without it")
    if not parts:
        raise ToolError(f"{path or 'an empty path'} is no file; give the path of a file in the workspace")
    return parts


def _open_folder(name: str, parent: int, *, make: bool) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except FileNotFoundError:
        if not make:
            raise
    with contextlib.suppress(FileExistsError):  # another call of the same turn made it
        os.mkdir(name, 0o755, dir_fd=parent)
    return os.open(name, _FOLDER, dir_fd=parent)


def _reason(path: str, error: OSError) -> str:
    match error.errno:
        case errno.ENOENT:
            return f"there is no file {path} in the workspace"
        case errno.ELOOP:
            return f"{path} is a symbolic link; links are not followed"
        case errno.ENOTDIR:
            return f"{path} leads through a file or a symbolic link, not through folders"
        case errno.EISDIR:
            return f"{path} is a folder"
        case _:
            return f"{path}: {error.strerror}"
