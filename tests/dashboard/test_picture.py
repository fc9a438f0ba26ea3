import io
import re
import sys

import pytest
from rich.console import Console
from rich.text import Text

from concur_batch.dashboard.picture import Picture

CODE = re.compile(r"\x1b\[(\??)(\d*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)")


class Terminal(io.StringIO):
    """Of endless height; knows the codes that are used."""

    def __init__(self):
        super().__init__()
        self.rows, self.row, self.column, self.shown = [""], 0, 0, True

    def isatty(self):
        return True

    def write(self, text):
        text = re.sub(r"\x1b\[[\d;]*m", "", text)
        for private, number, code, start, down, words in CODE.findall(text):
            if words:
                row = self.rows[self.row].ljust(self.column)
                self.rows[self.row] = row[: self.column] + words + row[self.column + len(words) :]
                self.column += len(words)
            elif start or down:
                self.column = 0
                self.row += bool(down)
                self.rows += [""] * (self.row + 1 - len(self.rows))
            elif code == "A":
                assert self.row >= int(number)
                self.row -= int(number)
            elif code == "K":
                self.rows[self.row] = self.rows[self.row][: self.column]
            elif code == "H":
                self.row = self.column = 0
            elif code == "J":
                self.rows = [""] * len(self.rows)
            elif private:
                self.shown = code == "h"
            else:
                raise AssertionError(code)
        return super().write(text)


@pytest.fixture
def terminal():
    return Terminal()


@pytest.fixture
def console(terminal):
    return Console(file=terminal, force_terminal=True, width=20, height=10, _environ={"TERM": "xterm"})


def lines(terminal):
    return "/".join(row.rstrip() for row in terminal.rows)


def test_one_picture_takes_the_place_of_the_other(terminal, console):
    with Picture(console) as picture:
        for text, seen in (("a\nbb\nc", "a/bb/c"), ("a\nb\nc", "a/b/c"), ("x", "x//"), ("1\n2\n3\n4", "1/2/3/4")):
            picture.draw(Text(text))
            assert lines(terminal) == seen
        assert not terminal.shown
    assert terminal.shown
    assert (terminal.row, lines(terminal)) == (4, "1/2/3/4/")


def test_only_what_changed_is_written(terminal, console):
    with Picture(console) as picture:
        picture.draw(Text("one\ntwo\nthree"))
        begun = terminal.tell()
        picture.draw(Text("one\n2\nthree"))
        written = terminal.getvalue()[begun:]
    assert "2" in written
    assert "one" not in written
    assert "three" not in written


def test_what_tools_print_stands_above(terminal, console, capsys):
    with Picture(console) as picture:
        picture.draw(Text("one\ntwo"))
        print("from a tool")  # noqa: T201  as tools do
        assert lines(terminal) == "from a tool/one/two"
        picture.draw(Text("one\n2"))
        assert lines(terminal) == "from a tool/one/2"
    print("after")  # noqa: T201
    assert capsys.readouterr().out == "after\n"


def test_after_a_stop_it_begins_anew(terminal, console):
    with Picture(console) as picture:
        picture.draw(Text("one\ntwo"))
        terminal.write("\n[1]+ Stopped\n$ fg\n")
        picture.lose()
        picture.draw(Text("one\n2"))
        assert terminal.rows[:2] == ["one", "2"]
        assert not any(terminal.rows[2:])
        begun = terminal.tell()
        picture.draw(Text("one\n2"))
        assert "one" not in terminal.getvalue()[begun:]


def test_another_size_begins_with_a_clear_screen(terminal, console):
    with Picture(console) as picture:
        picture.draw(Text("one\ntwo"))
        console.size = (12, 10)
        picture.draw(Text("1\n2"))
        assert lines(terminal) == "1/2"


def test_while_it_is_lost_what_is_printed_is_left_where_it_falls(terminal, console):
    with Picture(console) as picture:
        picture.draw(Text("one\ntwo"))
        terminal.write("\n$ bg\n")
        picture.lose()
        assert picture.is_lost
        begun = terminal.tell()
        print("from a tool")  # noqa: T201
        assert terminal.getvalue()[begun:] == "from a tool\n"
        picture.draw(Text("one\n2"))
        assert not picture.is_lost


def test_a_line_left_open_goes_above_the_last_picture_without_its_controls(terminal, console):
    with Picture(console) as picture:
        picture.draw(Text("one\ntwo"))
        sys.stderr.write("\x1b[5Aover")
    assert lines(terminal) == "over/one/two/"
