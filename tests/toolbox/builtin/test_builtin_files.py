from __future__ import annotations

from pathlib import Path

import pytest

from concur_batch.errors import ToolError
from concur_batch.toolbox.builtin.files import read_file, write_file
from concur_batch.toolbox.context import ToolContext
from concur_batch.toolbox.limits import ToolLimits
from concur_batch.toolbox.processes.command import Commands


@pytest.fixture
def context(tmp_path: Path) -> ToolContext:
    limits = ToolLimits(max_file_mib=1)
    return ToolContext(rollout="a#0", seed=1, workspaces=tmp_path, commands=Commands(limits, tmp_path), limits=limits)


def test_what_is_written_is_read(context: ToolContext) -> None:
    assert write_file("a/b.txt", "eins\nzwei\n", context) == "wrote 10 bytes to a/b.txt"
    write_file("a/b.txt", "drei\n", context, append=True)
    assert read_file("a/b.txt", context) == "eins\nzwei\ndrei\n"
    assert read_file("a/b.txt", context, first_line=2, lines=1) == "zwei\n"
    assert read_file("a/b.txt", context, first_line=9) == ""
    write_file("a/b.txt", "neu", context)
    assert read_file("a/b.txt", context) == "neu"


def test_lines_end_where_other_tools_end_them(context: ToolContext) -> None:
    write_file("odd", "a\f\v\x85\u2028b\rc\r\nd\n", context)
    assert read_file("odd", context, lines=1) == "a\f\v\x85\u2028b\rc\r\n"
    assert read_file("odd", context, first_line=2) == "d\n"


def test_bytes_that_are_no_text_are_replaced(context: ToolContext) -> None:
    (context.workspace / "bytes").write_bytes(b"a\xffb")
    assert read_file("bytes", context) == "a\ufffdb"


def test_files_are_bounded(context: ToolContext) -> None:
    (context.workspace / "big").write_bytes(b"x" * ((1 << 20) + 1))
    with pytest.raises(ToolError, match="larger than 1 MiB"):
        read_file("big", context)
    write_file("half", "x" * (1 << 19), context)
    with pytest.raises(ToolError, match="nothing was written"):
        write_file("half", "x" * ((1 << 19) + 1), context, append=True)
    assert (context.workspace / "half").stat().st_size == 1 << 19


def test_nonsense_is_refused(context: ToolContext) -> None:
    with pytest.raises(ToolError, match="counts from 1"):
        read_file("a", context, first_line=0)
    with pytest.raises(ToolError, match=r"holds `\.\.`"):
        write_file("../x", "", context)
