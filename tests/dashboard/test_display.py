import asyncio
import contextlib
import errno
import io
import os
import re

import pytest
from rich.console import Console

from concur_batch import records as r
from concur_batch.dashboard import display, live, plain
from concur_batch.state import fold

STORY = [r.SegmentStarted(t=0, epoch=1e9, host="h", pid=1, version="0"), r.BatchLoaded(t=0, tasks=2, rollouts=2)]
STORY += [r.RolloutStarted(t=0, rollout=f"t-{k}#0", engine="sim", task=f"t-{k}", k=0, index=k, seed=0) for k in range(2)]

codes = re.compile(r"\x1b\[[\d;]*m")


def terminal(file=None, width=80):
    return Console(file=file or io.StringIO(), force_terminal=True, width=width, height=24, _environ={"TERM": "xterm"})


def run(show, console, pictures=3, **options):
    """Show until the clock has been read that often; 0: closing from the start."""

    async def main():
        closing, reads = asyncio.Event(), iter(range(1, 1000))
        if not pictures:
            closing.set()

        def clock():
            now = next(reads)
            if now == pictures:
                closing.set()
            return float(now)

        async with asyncio.timeout(10):
            await show(fold(STORY), console, clock, closing, **options)

    asyncio.run(main())
    return console.file.getvalue() if isinstance(console.file, io.StringIO) else ""


def test_live_draws_again_and_leaves_a_last_picture_and_the_cursor():
    output = codes.sub("", run(live.show, terminal(), interval_s=0, title="runs/x"))
    assert "elapsed 1 s" in output
    assert "elapsed 2 s" in output
    assert output.rindex("elapsed 4 s") > output.rindex("elapsed 3 s")  # the last one
    assert output.rindex("\x1b[?25h") > output.rindex("\x1b[?25l")  # the cursor is shown after it was hidden


def test_another_view_is_drawn_at_once_and_the_last_picture_is_the_main_one():
    views = iter(["main", "main", "errors", "errors", "errors"])
    output = codes.sub("", run(live.show, terminal(), interval_s=1000.0, pictures=2, view=lambda: next(views, "main"), keys=True))
    assert "e errors" in output
    assert "e back  q drain" in output
    assert output.rindex("waiting") > output.rindex("e back  q drain")


def test_cancelled_it_cleans_up():
    console = terminal()

    async def main():
        task = asyncio.create_task(live.show(fold(STORY), console, lambda: 1.0, asyncio.Event()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert console.file.getvalue().rstrip().endswith("\x1b[?25h")
    assert "elapsed 1 s" in codes.sub("", console.file.getvalue())


def test_plain_lines_have_no_codes():
    output = run(plain.show, Console(file=io.StringIO(), width=20), interval_s=0)
    lines = output.splitlines()
    assert len(lines) == 4
    assert lines[0] == "[1 s] 0/2 ended (0%), 0 failed; active 2, paused 0, waiting 0; 0.0 steps/s, 0.0 tok/s generated; lag 0 ms"


@pytest.mark.parametrize(
    ("console", "wanted", "is_live"),
    [
        (terminal(), True, True),
        (terminal(), False, False),
        (Console(file=io.StringIO()), True, False),
        (Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "dumb"}), True, False),
    ],
)
def test_the_display_fits_where_the_output_goes(console, wanted, is_live):
    output = run(display.show, console, pictures=0, live=wanted)
    assert ("\x1b[" in output) is is_live


class Gone(io.StringIO):
    """An output whose reader has left."""

    def __init__(self, after, error):
        super().__init__()
        self.after, self.error = after, error

    def write(self, text):
        self.after -= 1
        if self.after < 0:
            raise self.error
        return super().write(text)


@pytest.mark.parametrize("after", [0, 1, 2])
@pytest.mark.parametrize("show", [live.show, plain.show])
def test_an_output_that_goes_away_does_not_end_the_run(show, after):
    run(show, terminal(Gone(after, OSError(errno.EIO, "gone"))), pictures=5, interval_s=0)


def test_a_terminal_that_takes_nothing_is_not_written_to():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 65536)
    try:
        with os.fdopen(writer, "w", closefd=False) as file:
            assert not live._takes_more(Console(file=file))
            os.read(reader, 1 << 20)
            assert live._takes_more(Console(file=file))
    finally:
        os.close(reader)
        os.close(writer)
    assert live._takes_more(Console(file=io.StringIO()))
