"""What the user named (files, globs, `-`) as a list of files of known kind, and the rows of one such file."""

from __future__ import annotations

import glob
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from concur_batch.jobs.compressed import MAGIC, DamagedFile, open_lines
from concur_batch.jobs.faults import Fault, FaultList
from concur_batch.jobs.lines import Located, read_lines
from concur_batch.jobs.parquet import read_parquet

STDIN = "-"
STDIN_FILE = "stdin.jsonl"

_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".jsonl.gz": "gz",
    ".jsonl.zst": "zst",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_PARQUET = b"PAR1"
_MAGIC = {**MAGIC, _PARQUET: "parquet"}
_UNPACK = {"gz": "gunzip -c", "zst": "zstd -dc"}
_READABLE = frozenset(_SUFFIXES.values())


class Source(NamedTuple):
    """One job file."""

    path: Path
    name: str  # as the user wrote it, for messages
    kind: str  # jsonl | gz | zst | parquet


def find_sources(named: Sequence[str], spool: Path, stdin: IO[bytes] | None = None) -> list[Source]:
    """The files meant, in the order named, those of a glob sorted. Raises JobFaults where one cannot be a job file.

    `-` is standard input, copied into `spool` as `stdin.jsonl` first; where that file is already there it is read again
    in its place, so that a resumed run has its job.
    """
    faults = FaultList()
    found: dict[Path, Source] = {}
    if not named:
        faults.add(Fault("", "", "no job file is named; give a .jsonl or .parquet file, or - for standard input"))
    for pattern in named:
        for path, name in _expand(pattern, spool, stdin, faults):
            source = _identify(path, name, faults)
            if source is None:
                continue
            if path.resolve() in found:
                faults.add(Fault(name, "", "is named twice; name it once"))
            found[path.resolve()] = source
    faults.raise_if_any()
    return list(found.values())


def read_rows(source: Source, *, own_schema: bool = False) -> Iterator[Located | Fault]:
    """All rows of one file in order, streamed; what cannot be read comes as Faults."""
    if source.kind == "parquet":
        yield from read_parquet(source.path, source.name, own_schema=own_schema)
        return
    try:
        with open_lines(source.path, None if source.kind == "jsonl" else source.kind) as stream:
            yield from read_lines(stream, source.name)
    except DamagedFile as error:
        yield Fault(source.name, "", str(error))
    except OSError as error:
        yield _cannot_read(source.name, error)


def _expand(pattern: str, spool: Path, stdin: IO[bytes] | None, faults: FaultList) -> Iterator[tuple[Path, str]]:
    if not pattern:
        faults.add(Fault("", "", "a job file's name is empty; give a .jsonl or .parquet file, or - for standard input"))
        return
    if pattern == STDIN:
        yield _spool_stdin(spool, stdin), "stdin"
        return
    path = Path(pattern)
    try:
        is_name = path.exists() or not glob.has_magic(pattern)
    except OSError as error:  # a folder that may not be looked into, a name that is too long
        faults.add(_cannot_read(pattern, error))
        return
    if is_name:
        yield path, pattern
        return
    matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - keeps the name as the user wrote it
    if not matches:
        faults.add(Fault(pattern, "", "no file matches this pattern; check the path"))
    for match in matches:
        yield Path(match), match


def _spool_stdin(spool: Path, stdin: IO[bytes] | None) -> Path:
    path = spool / STDIN_FILE
    if not path.exists():
        part = path.with_suffix(".part")  # renamed when whole: a broken-off copy is never taken for the job
        with part.open("wb") as copy:
            shutil.copyfileobj(stdin or sys.stdin.buffer, copy)
        part.replace(path)
    return path


def _identify(path: Path, name: str, faults: FaultList) -> Source | None:
    """The file's kind by its suffix, else by its first bytes."""
    head = _head(path, name)
    if isinstance(head, Fault):
        faults.add(head)
        return None
    kind = _kind(path, name, head)
    if kind not in _READABLE:
        faults.add(Fault(name, "", kind))
        return None
    return Source(path, name, kind)


def _head(path: Path, name: str) -> bytes | Fault:
    """The first bytes of a file that can be read again and again."""
    try:
        if path.is_dir():
            return Fault(name, "", f"is a directory; name the files in it, for instance '{name.rstrip('/')}/*.jsonl'")
        if path.exists() and not path.is_file():  # a pipe gives its rows only once
            return Fault(name, "", "is not a regular file; pipe it in and name it -")
        with path.open("rb") as file:
            head = file.read(1024)
    except FileNotFoundError:
        return Fault(name, "", "no such file; check the path")
    except OSError as error:
        return _cannot_read(name, error)
    return head or Fault(name, "", "is empty; should hold one task per line")


def _kind(path: Path, name: str, head: bytes) -> str:
    """One of the readable kinds, or what is wrong."""
    magic = next((kind for mark, kind in _MAGIC.items() if head.startswith(mark)), None)
    lower = path.name.lower()
    wanted = "jsonl" if name == "stdin" else next((kind for suffix, kind in _SUFFIXES.items() if lower.endswith(suffix)), None)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if magic in {"gz", "zst"} and _holds_parquet(path, magic):
        return f"is compressed Parquet, which is not read; decompress it first: {_unpack(name, magic)}"
    if magic is not None and wanted in {None, "jsonl"}:
        return f"holds {magic} data, which its name does not say; {_rename(name, magic)}"
    if wanted is not None:
        return wanted
    if text.startswith(b"{"):
        return "jsonl"
    if text.startswith(b"["):
        return f"is one JSON list; should be one object per line: jq -c '.[]' {name} > {path.stem}.jsonl"
    return "is not a job file; should be .jsonl, .jsonl.gz, .jsonl.zst or .parquet"


def _holds_parquet(path: Path, compression: str) -> bool:
    try:
        with open_lines(path, compression) as stream:
            return stream.read(4) == _PARQUET
    except (DamagedFile, OSError):  # told when its rows are read
        return False


def _unpack(name: str, compression: str) -> str:
    if name == "stdin":
        return f"{_UNPACK[compression]} > jobs.parquet, and name that file"
    return f"{_UNPACK[compression]} {name} > {Path(name.removesuffix(f'.{compression}')).with_suffix('.parquet')}"


def _rename(name: str, kind: str) -> str:
    suffix = ".parquet" if kind == "parquet" else f".jsonl.{kind}"
    return f"save it in a file that ends in {suffix}" if name == "stdin" else f"rename it to end in {suffix}"


def _cannot_read(name: str, error: OSError) -> Fault:
    return Fault(name, "", f"cannot be read ({error.strerror or error}); check the file and its permissions")
