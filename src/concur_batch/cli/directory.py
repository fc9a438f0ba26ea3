"""The run directory: choosing, claiming and describing it."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from concur_batch import __version__
from concur_batch.errors import RunDirectoryError
from concur_batch.journal.reader import JournalReader
from concur_batch.journal.writer import FOLDER, segments

if TYPE_CHECKING:
    from concur_batch.config import Config

CONFIG = "config.json"
INDEX = "job.index"
RESULTS = "results.parquet"
LOGS = "logs"
WORKSPACES = "workspaces"
WORDING = "wording.json"  # of a replay: how the server counts
_RESTORE = "put back what `concur run` wrote there, or start a new run"
_LEFTOVERS = (  # of a start that was killed
    "lock",
    WORDING,
    "stdin.part",
    "checked-job.index",
    "ordered-rows.jsonl",
    f"{CONFIG}.new",
    f"{INDEX}.new",
)


def resuming(directory: Path) -> str:
    """The command that goes on with it, to be copied into a shell."""
    return f"concur resume {shlex.quote(str(directory))}"


def going_on(directory: Path) -> str:
    """What its user can do with a run that nobody works on any more. A directory that does not say is taken for a run."""
    if is_simulation(directory):
        return "it is a simulation, which is not resumed; run `concur simulate` again"
    return f"go on with: {resuming(directory)}"


def is_simulation(directory: Path) -> bool:
    """Whether it says that it holds one."""
    try:
        return bool(read(directory).get("simulated"))
    except RunDirectoryError:
        return False


def refuse_lost(directory: Path) -> None:
    """Raises RunDirectoryError where nothing but results is left of a run: to begin it again would overwrite them."""
    if (directory / RESULTS).exists() and not _has_records(directory):
        raise RunDirectoryError(
            f"{directory}: has lost its journal, so it cannot be gone on with; its results are left, "
            f"see them by: concur results {shlex.quote(str(directory))}; to run the job anew, give `concur run` another --out"
        )


def _has_records(directory: Path) -> bool:
    """Whether its journal holds any, sound or not: what is wrong with one is told by whoever reads it all."""
    try:
        return next(JournalReader(directory).records(), None) is not None
    except RunDirectoryError:
        return True


class Before(NamedTuple):
    """What was there before a directory was made."""

    names: frozenset[str]  # in it
    missing: tuple[Path, ...]  # itself and the folders around it that were not there, innermost first


class Made(NamedTuple):
    """A directory that is there, for a new run."""

    directory: Path
    before: Before


def make_new(out: str | None, jobs: Sequence[str]) -> Made:
    """The directory for a new run: the one named, which must be new or empty, or one under runs/ that nobody else has."""
    if out is not None:
        directory = _free(Path(out))
        return Made(directory, make(directory))
    stem = re.sub(r"[^\w-]+", "_", Path(jobs[0]).name.split(".")[0]).strip("_") if jobs and jobs[0] != "-" else "stdin"
    return make_under_runs(f"{stamp()}-{stem or 'jobs'}")  # `jobs`: of a pattern


def stamp() -> str:
    """The time of day, to the second, for names."""
    return datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")


def make_under_runs(name: str) -> Made:
    """The next free one of that name: `name`, `name-2` and so on. No two processes get the same."""
    for number in itertools.count(1):
        directory = Path("runs") / (f"{name}-{number}" if number > 1 else name)
        with contextlib.suppress(FileExistsError):
            return Made(directory, make(directory, is_new=True))
    raise AssertionError


def _free(directory: Path) -> Path:
    """The same. Raises RunDirectoryError where it is not new or empty."""
    try:
        described = (directory / CONFIG).exists()
        others = directory.is_dir() and any(path.name not in _LEFTOVERS for path in directory.iterdir())
    except OSError as error:  # a name that is too long, or a folder that may not be read
        raise RunDirectoryError(f"{directory}: cannot be a run directory ({error.strerror}); give another --out") from error
    if described and read(directory).get("simulated"):
        raise RunDirectoryError(f"{directory}: holds a simulation already; give another --out")
    if described:
        refuse_lost(directory)
    if described or segments(directory):
        raise RunDirectoryError(
            f"{directory}: holds a run already; go on with it by `{resuming(directory)}`, or give another --out"
        )
    if directory.exists() and not directory.is_dir():
        raise RunDirectoryError(f"{directory}: is a file; give another --out")
    if others:
        raise RunDirectoryError(f"{directory}: is not empty and holds no run of ours; give another --out")
    return directory


def make(directory: Path, *, is_new: bool = False) -> Before:
    """Create it, with the folders around it. Raises RunDirectoryError where that is not possible.

    `is_new`: raises FileExistsError where it is there already.
    """
    try:
        missing = tuple(folder for folder in (directory, *directory.parents) if not folder.exists())
        names = frozenset() if missing or is_new else frozenset(path.name for path in directory.iterdir())
        directory.mkdir(parents=True, exist_ok=not is_new)
    except OSError as error:
        if is_new and isinstance(error, FileExistsError) and error.filename == str(directory):  # not a folder around it
            raise
        raise RunDirectoryError(f"{error.filename}: cannot be created ({error.strerror}); give another --out") from error
    return Before(names, missing)


def unmake(directory: Path, before: Before) -> None:
    """Remove what a run that never began has left, but not what was there `before`, as `make` told. Does nothing where there is more."""
    for name in {*_LEFTOVERS, "stdin.jsonl", CONFIG, INDEX}.difference(before.names):
        (directory / name).unlink(missing_ok=True)
    for log in (directory / LOGS).glob("*.log"):
        log.unlink()
    link = directory.parent / "latest"
    if directory.parent.name == "runs" and link.is_symlink() and str(link.readlink()) == directory.name:
        link.unlink()
    for folder in (directory / FOLDER, directory / LOGS, *before.missing):
        try:
            folder.rmdir()
        except OSError:
            continue


def describe(
    directory: Path,
    config: Config,
    jobs: Sequence[str],
    *,
    tools: Mapping[str, Any] | None = None,
    simulated: bool = False,
) -> None:
    """Write config.json: what is run and how, without secrets.

    `tools`: fingerprints of what the model is offered. `simulated`: in virtual time, so there is nothing to resume.
    """
    from concur_batch.config import to_json  # noqa: PLC0415 - pydantic, which whoever only looks at a run does not need

    content: dict[str, Any] = {"concur": __version__, "jobs": list(jobs), "config": to_json(config)}
    if tools is not None:
        content["tools_seen"] = tools
    if simulated:
        content["simulated"] = True
    path = directory / CONFIG
    new = path.with_name(CONFIG + ".new")
    try:
        new.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        new.replace(path)
    except OSError as error:
        raise RunDirectoryError(
            f"{path}: cannot be written ({error.strerror}); mend that, and give the same command again"
        ) from error


def read(directory: Path) -> dict[str, Any]:
    """What `describe` wrote. Raises RunDirectoryError where there is no run, or another file in its place."""
    path = directory / CONFIG
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if segments(directory):
            raise RunDirectoryError(f"{directory}: has lost its {CONFIG}; {_RESTORE}") from None
        raise RunDirectoryError(
            f"{directory}: holds no run (there is no {CONFIG}); give the directory that `concur run` named"
        ) from None
    except NotADirectoryError:
        raise RunDirectoryError(f"{directory}: is a file; give the directory that `concur run` named") from None
    except OSError as error:
        raise RunDirectoryError(f"{path}: cannot be read ({error.strerror or error}); mend its permissions") from error
    except (ValueError, RecursionError) as error:
        raise RunDirectoryError(f"{path}: is no sound JSON ({error}); {_RESTORE}") from error
    return _checked(content, path)


def _checked(content: Any, path: Path) -> dict[str, Any]:
    """The same, if it has the shape that `describe` gave it; what the configuration says is checked where it is used."""
    if not isinstance(content, dict):
        raise RunDirectoryError(f"{path}: is no JSON object; {_RESTORE}")
    jobs, config = content.get("jobs"), content.get("config")
    if not isinstance(jobs, list) or not all(isinstance(job, str) for job in jobs):
        raise RunDirectoryError(f"{path}: jobs should be the list of the job files; {_RESTORE}")
    if not isinstance(config, dict) or not isinstance(config.get("sources", {}), dict):
        raise RunDirectoryError(f"{path}: config should be an object, and its sources another; {_RESTORE}")
    return content


def summary_in(directory: Path) -> dict[str, Any]:
    """What its summary.json holds; empty where there is none, or none that can be read."""
    try:
        summary = json.loads((directory / "summary.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return summary if isinstance(summary, dict) else {}


def link_latest(directory: Path) -> None:
    """Point runs/latest at it, for a directory under runs/."""
    link = directory.parent / "latest"
    if directory.parent.name == "runs" and (link.is_symlink() or not link.exists()):
        try:
            link.unlink(missing_ok=True)
            link.symlink_to(directory.name)
        except OSError:
            return  # a convenience only
