"""What commands are confined by: bubblewrap where it is installed and works here, else nothing but limits."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from concur_batch.errors import InputError
from concur_batch.toolbox.limits import ToolLimits
from concur_batch.toolbox.processes.environment import TEMPORARY

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix/store")


@dataclass(frozen=True, slots=True)
class Sandbox:
    """How a command line becomes a confined one. `prefix` empty: it does not."""

    name: str  # bubblewrap | unsafe
    warning: str | None = None  # one sentence for people, where commands run unconfined
    prefix: tuple[str, ...] = ()  # bubblewrap and its view of the system
    readable: tuple[str, ...] = ()  # shown besides
    read_only: tuple[str, ...] = ()  # what is no bind is memory, counts nowhere, and so must not be written to

    def wrap(self, command: Sequence[str], workspace: Path) -> list[str]:
        """The command line that runs `command` with nothing but the workspace writable."""
        if not self.prefix:
            return list(command)
        temporary, own = str(workspace / TEMPORARY), str(workspace)
        line = [*self.prefix, "--bind", temporary, "/tmp", "--bind", temporary, "/dev/shm"]  # noqa: S108
        for path in self.readable:
            line += ["--ro-bind", path, path]
        line += ["--bind", own, own]
        for path in self.read_only:
            line += ["--remount-ro", path]
        return [*line, "--chdir", own, "--", *command]


def find_sandbox(limits: ToolLimits, workspaces: Path) -> Sandbox:
    """Try bubblewrap once. Raises InputError where it is demanded and does not work."""
    if limits.sandbox == "off":
        return Sandbox("unsafe", _warning("the sandbox is switched off"))
    why = "bubblewrap is not installed"
    program = shutil.which("bwrap")
    if program is not None:
        hidden = _hidden(workspaces)
        readable = dict.fromkeys([*_python(), *limits.readable, *(_resolver() if limits.network else [])])
        prefix = (program, *_flags(limits), *(word for path in hidden for word in ("--tmpfs", path)))
        sandbox = Sandbox("bubblewrap", None, prefix, tuple(readable), ("/dev", "/", *hidden))
        failure = _try(sandbox)
        if failure is None:
            return sandbox
        why = f"bubblewrap does not work here ({failure})"
    if limits.sandbox == "bubblewrap":
        raise InputError(
            f"tools.sandbox: the sandbox is required but {why}; install or permit bubblewrap, or allow running without (unsafe)"
        )
    return Sandbox("unsafe", _warning(why))


def _warning(why: str) -> str:
    return (
        f"UNSAFE: {why}, so the tools `shell` and `python` run what the model writes with your own rights: "
        "it can read and change all that you can"
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


def _hidden(workspaces: Path) -> list[str]:
    """The run's folder: its journal knows the answers, and other rollouts' workspaces are not ours."""
    run = workspaces.resolve().parent
    replaced = any(run.is_relative_to(folder) for folder in ("/tmp", "/dev"))  # noqa: S108
    return [] if replaced or run == Path("/") else [str(run)]


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
        workspace = Path(name).resolve()
        (workspace / TEMPORARY).mkdir()
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
