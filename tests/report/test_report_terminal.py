import io

from journals import tool
from report_runs import Recorded, ordinary
from rich.console import Console

from concur_batch.report.build import Run
from concur_batch.report.run import RunReport
from concur_batch.report.terminal import compared, show


def run(records, name="first", **more):
    report = RunReport(Recorded(records))
    report.read()
    return Run(name=name, path=f"runs/{name}", condition="finished", report=report, config={}, **more)


class Screen(io.StringIO):
    def isatty(self):
        return True


def printed(*shown, width=90, file=None, **options):
    console = Console(file=file or io.StringIO(), width=width, **options)
    for one in shown:
        show(console, one) if isinstance(one, Run) else console.print(one)
    return console.file.getvalue()


def test_a_run_in_numbers_curves_and_tools():
    text = printed(run(ordinary(6), has_results=False, simulated=True))
    assert "runs/first  finished (simulated)" in text
    assert "6 of 6 ended: completed 4, error 2" in text
    assert "no results.parquet; all this is from the journal" in text
    assert "runs/first/results.parquet" not in text
    assert "failures.jsonl" not in text
    assert [line.split()[:3] for line in text.splitlines() if line.startswith(("locked", "f  "))] == [
        ["locked", *next(line.split()[1:3] for line in text.splitlines() if line.startswith("locked"))],
        ["f", "6", "0"],
    ]


def test_a_run_without_a_record_says_so():
    assert "Nothing has been recorded yet." in printed(run([]))


def test_a_narrow_terminal_keeps_the_name_of_a_tool():
    records = [*ordinary(1)[:-1], tool("task-0#0", 9, tool="read_file", seconds=123.4)]
    text = printed(run(records), width=40, file=Screen(), color_system=None)
    assert "\nread_file " in text
    assert "no room for p50, longest, p95: the page has" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 40


def test_names_that_steer_a_terminal_do_not():
    text = printed(run([*ordinary(1)[:-1], tool("task-0#0", 9, tool="\x1b[2Jf\n")]))
    assert "\x1b" not in text
    assert r"\x1b[2Jf" in text


def test_a_run_that_has_not_finished_has_no_ratio():
    text = printed(compared([run(ordinary(6)), run(ordinary(6)[:-12], "second")]))
    (line,) = [line for line in text.splitlines() if line.startswith("makespan")]
    assert "so far" in line
    assert " x" not in line
    assert "so far: the run has not finished" in text


def test_a_narrow_terminal_keeps_numbers_whole():
    text = printed(compared([run(ordinary(3)), run(ordinary(6), "second of a long name")], 40), width=40)
    (line,) = [line for line in text.splitlines() if line.startswith("makespan")]
    assert line.split()[-5:] == ["7.0", "s", "10.0", "s", "x1.43"]


def test_runs_side_by_side_with_ratios():
    text = printed(compared([run(ordinary(3)), run(ordinary(6), "second")]))
    (line,) = [line for line in text.splitlines() if line.startswith("steps  ")]
    assert line.split() == ["steps", "6", "12", "x2.00"]
