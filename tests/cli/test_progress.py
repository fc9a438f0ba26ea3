"""The line of progress of `simulate` and `compare`, as each kind of terminal is given it."""

import pytest
from forked import CONCUR
from on_terminal import OnTerminal

COMMANDS = [("simulate", "--agents", "64"), ("compare", "--controllers", "off,fixed:4", "--agents", "8", "--workers", "1")]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("term", "told"), [("xterm", True), ("dumb", False), ("unknown", False)])
def test_a_terminal_that_cannot_erase_a_line_is_given_none(command, term, told, tmp_path):
    with OnTerminal(*CONCUR, *command, cwd=tmp_path, env={"TERM": term}) as terminal:
        assert terminal.code() == 0
    assert (b"\x1b[K" in terminal.raw) == told
    assert (b"\x1b" in terminal.raw) == told
    assert "off" in terminal.shown or "forecast" in terminal.shown
