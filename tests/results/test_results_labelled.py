import io

from rich.console import Console
from rich.text import Text

from concur_batch.results.labelled import labelled, show

LONG = "runs/" + "a" * 90 + "/results.parquet"


class Screen(io.StringIO):
    def isatty(self):
        return True


def shown(file=None, **options):
    file = file if file is not None else io.StringIO()
    lines = [("time", Text("41 s")), ("results", Text(LONG, overflow="fold"))]
    show(Console(file=file, width=60, **options), labelled(lines))
    return file.getvalue()


def test_a_line_is_whole_where_no_terminal_is():
    assert shown() == f"time     41 s\nresults  {LONG}\n"


def test_a_terminal_folds_it_under_its_label():
    lines = shown(Screen(), color_system=None).splitlines()
    assert len(lines) == 4
    assert max(map(len, lines)) <= 60
    assert lines[2].startswith(" " * 9 + "a")


def test_forced_colours_fold_nothing():
    assert LONG in shown(force_terminal=True)
