import json
import logging
import sys

from forked import concur

from concur_batch.cli.run.log_lines import VisibleFormatter


def formatted(message, exc_info=None):
    return VisibleFormatter("%(message)s").format(logging.LogRecord("n", logging.WARNING, "", 0, message, None, exc_info))


def test_what_a_server_said_controls_no_terminal():
    assert formatted("HTTP 500: boom \x1b[31m red\u202e\ud800") == "HTTP 500: boom \\x1b[31m red\\u202e\\ud800"


def test_tracebacks_keep_their_lines_and_control_nothing_either():
    try:
        raise ValueError("\x1b[2J")
    except ValueError:
        text = formatted("raised", sys.exc_info())
    assert text.splitlines()[0] == "raised"
    assert text.splitlines()[-1] == "ValueError: \\x1b[2J"


def test_the_logs_of_a_run_are_such(tmp_path):
    """The agent's own words come into the log with its traceback."""
    (tmp_path / "bad.py").write_text("async def agent(task, ctx):\n    raise ValueError(chr(27) + '[31m red')\n")
    (tmp_path / "job.jsonl").write_text(json.dumps({"id": "a", "prompt": "x", "script": ["y"]}) + "\n")
    concur("run", "job.jsonl", "--agent", "bad.py:agent", "--out", "out", "--no-live", cwd=tmp_path)
    log = (tmp_path / "out" / "logs" / "000001.log").read_text()
    assert "\\x1b[31m red" in log
    assert "\x1b" not in log
