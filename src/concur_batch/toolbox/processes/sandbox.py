"""What commands are confined by: bubblewrap where it is installed and works here, else nothing but limits."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from concur_batch.errors import InputError
from concur_batch.toolbox.limits import ToolLimits
from concur_batch.toolbox.processes.environment import temporary_folder

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix/store")
OWN = ("/proc", "/dev", "/dev/shm", "/tmp")  # noqa: S108  (of which each command has its own)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """How a command line becomes a confined one. `prefix` empty: it does not."""

    name: str  # bubblewrap | unsafe
    warning: str | None = None  # one sentence for people, where commands run unconfined
    prefix: tuple[str, ...] = ()  # bubblewrap and its view of the system
    around: tuple[str, ...] = ()  # shown besides; the run's folder lies in them
    hidden: tuple[str, ...] = ()  # covered there, and where it lies
    readable: tuple[str, ...] = ()  # shown besides, after that

    def wrap(self, command: Sequence[str], workspace: Path) -> list[str]:
        """The command line that runs `command` with nothing but the workspace and a folder for temporary files writable.

        Bubblewrap finds all folders by their paths, so no command may be able to change what such a path leads to.
        """
        if not self.prefix:
            return list(command)
        own, temporary = str(workspace), str(temporary_folder(workspace))
        covered = _below_writable([*self.around, *self.hidden, *self.readable, own])
        line = [*self.prefix, "--bind", temporary, "/tmp", "--bind", temporary, "/dev/shm"]  # noqa: S108
        line += [*_each("--tmpfs", covered), *_shown(self.around), *_each("--tmpfs", self.hidden), *_shown(self.readable)]
        line += ["--bind", own, own]
        # what is no bind is memory, counts nowhere, and so must not be written to
        line += _each("--remount-ro", dict.fromkeys(("/dev", "/", *covered, *self.hidden)))
        return [*line, "--chdir", own, "--", *command]

    def temporary(self, workspace: Path) -> str:
        """What a command calls its folder for temporary files."""
        return "/tmp" if self.prefix else str(temporary_folder(workspace))  # noqa: S108


def find_sandbox(limits: ToolLimits, workspaces: Path) -> Sandbox:
    """Try bubblewrap. Raises InputError where it is demanded and does not work, or cannot show what is to be readable."""
    if limits.sandbox == "off":
        return Sandbox("unsafe", _warning("the sandbox is switched off"))
    why = "bubblewrap is not installed"
    program = shutil.which("bwrap")
    if program is not None:
        plain = _bubblewrap(program, limits, workspaces, ())
        failure = _try(plain)
        if failure is None:
            return _with_readable(program, limits, workspaces) if limits.readable else plain
        why = f"bubblewrap does not work here ({failure})"
    if limits.sandbox == "bubblewrap":
        raise InputError(
            f"tools.sandbox: the sandbox is required but {why}; install or permit bubblewrap, or allow running without (unsafe)"
        )
    return Sandbox("unsafe", _warning(why))


def in_full(path: str) -> str:
    """The absolute path, with its symbolic links, as commands ask for it by its name; an empty one stays."""
    return path and os.path.abspath(path)  # noqa: PTH100  (`resolve` follows them, `absolute` leaves `..`)


def check_readable(paths: Iterable[str]) -> None:
    """Raises InputError for what commands cannot be shown: it does not exist, or stands in the way of what is their own."""
    for path in paths:
        if not path or not Path(path).exists():
            raise InputError(f"tools.readable: {path!r} does not exist; name files and folders that are there")
        places = (Path(in_full(path)), Path(path).resolve())
        own = next(filter(None, map(_own_in, places)), None)
        if own is not None or any(place.is_relative_to("/proc") for place in places):
            raise InputError(
                f"tools.readable: {path!r} takes the place of the {own or '/proc'} that commands have of their own; "
                "name the files and folders that they need"
            )


def _own_in(place: Path) -> str | None:
    return next((own for own in OWN if Path(own).is_relative_to(place)), None)


def _with_readable(program: str, limits: ToolLimits, workspaces: Path) -> Sandbox:
    """What works without `limits.readable`, with it: what fails now is a fault of that, and no reason to go unconfined."""
    check_readable(limits.readable)
    for path in map(Path, map(in_full, limits.readable)):
        if any(place.is_relative_to(workspaces.resolve()) for place in (path.parent.resolve(), path.resolve())):
            raise InputError(f"tools.readable: '{path}' lies in a workspace, where commands can put another thing in its place")
    workspaces.resolve().parent.mkdir(parents=True, exist_ok=True)  # in what is shown it cannot be made
    sandbox = _bubblewrap(program, limits, workspaces, limits.readable)
    failure = _try(sandbox)
    if failure is not None:
        raise InputError(f"tools.readable: bubblewrap cannot show {', '.join(limits.readable)} ({failure}); name something else")
    return sandbox


def _bubblewrap(program: str, limits: ToolLimits, workspaces: Path, given: Iterable[str]) -> Sandbox:
    run = workspaces.resolve().parent  # its journal knows the answers, and other rollouts' workspaces are not ours
    own = [*_python(), *(_resolver() if limits.network else [])]
    shown = dict.fromkeys([*own, *(in_full(path) for path in given)])
    around = {path: run.relative_to(real) for path in shown if run.is_relative_to(real := Path(path).resolve())}
    hidden = dict.fromkeys([str(run), *(str(Path(path) / rest) for path, rest in around.items())])
    return Sandbox(
        "bubblewrap",
        prefix=(program, *_flags(limits)),
        around=tuple(around),
        hidden=() if _own_in(run) else tuple(hidden),
        readable=tuple(path for path in shown if path not in around),
    )


def _each(flag: str, paths: Iterable[str]) -> list[str]:
    return [word for path in paths for word in (flag, path)]


def _shown(paths: Iterable[str]) -> list[str]:
    return [word for path in paths for word in ("--ro-bind", path, path)]


def _below_writable(paths: Iterable[str]) -> list[str]:
    """The first folders below /tmp and /dev/shm on these paths: covered, no link left there leads bubblewrap elsewhere."""
    covered = []
    for path in paths:
        for writable in ("/tmp/", "/dev/shm/"):  # noqa: S108
            first, deeper, _ = path.removeprefix(writable).partition("/")
            if path.startswith(writable) and deeper:
                covered.append(writable + first)
    return list(dict.fromkeys(covered))


def _warning(why: str) -> str:
    return (
        f"UNSAFE: {why}, so commands (the tools `shell` and `python`, and `context.run`) run with your own rights: "
        "what the model writes can read and change all that you can"
    )


def _flags(limits: ToolLimits) -> list[str]:
    flags = ["--unshare-all", "--die-with-parent", "--cap-drop", "ALL"]
    flags += ["--share-net"] if limits.network else []
    for path in SYSTEM:
        place = Path(path)
        if place.is_symlink():
            flags += ["--symlink", str(place.readlink()), path]
        elif place.exists():
            flags += ["--ro-bind", path, path]
    return [*flags, "--proc", "/proc", "--dev", "/dev"]


def _python() -> list[str]:
    """Where this interpreter and its packages live, if not among the system's folders anyway."""
    places = [
        Path(sys.prefix),
        Path(sys.base_prefix),
        Path(sys.base_prefix).resolve(),
        Path(sys.executable).resolve().parent.parent,
    ]
    return [str(place) for place in places if place != Path("/") and not place.is_relative_to("/usr")]


def _resolver() -> list[str]:
    """/etc/resolv.conf is often a link to a file outside of /etc."""
    target = Path("/etc/resolv.conf").resolve()
    return [] if target.is_relative_to("/etc") or not target.exists() else [str(target)]


def _try(sandbox: Sandbox) -> str | None:
    """Start Python in it as a real command would be. What went wrong, if anything."""
    with tempfile.TemporaryDirectory(prefix="concur-") as name:
        workspace = Path(name).resolve() / "workspace"
        for folder in (workspace, temporary_folder(workspace)):
            folder.mkdir()
        try:
            done = subprocess.run(  # noqa: S603  (our own command line)
                sandbox.wrap([sys.executable, "-I", "-S", "-c", ""], workspace),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=10,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        if done.returncode == 0:
            return None
        told = done.stderr.decode("utf-8", "replace").strip().splitlines()
        return told[-1] if told else f"exit code {done.returncode}"
