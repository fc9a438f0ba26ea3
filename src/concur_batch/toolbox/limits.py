"""Bounds of tool calls and of the commands that `shell` and `python` run."""

from __future__ import annotations

from dataclasses import dataclass

MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolLimits:
    """What a run grants its tools. `*_s` seconds, `*_mib` units of 2**20 bytes; "tree": the command and all its descendants."""

    timeout_s: float = 60.0  # one call, where the tool states none itself
    max_output_chars: int = 16_000  # one observation, where the tool states none itself
    threads: int = 32  # for tools that are plain functions, over all rollouts; other calls wait
    max_file_mib: int = 10  # read_file, write_file

    wall_s: float = 60.0  # one command
    cpu_s: int = 60  # the tree
    memory_mib: int = 2048  # address space of each process, resident memory of the tree
    file_size_mib: int = 256  # each file a command writes
    output_mib: int = 10  # printed by the tree; then it is killed
    processes: int = 128  # alive at a time in the tree

    sandbox: str = "auto"  # auto: bubblewrap where it works | bubblewrap: refuse to run without | off
    network: bool = False  # inside bubblewrap
    readable: tuple[str, ...] = ()  # further files and folders that commands in bubblewrap may read
