"""docs/journal.md carries every record and field."""

import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).resolve().parent.parent / "tools" / "journal_doc.py"


def test_the_page_is_in_step_with_the_records():
    assert subprocess.run([sys.executable, TOOL, "--check"], check=False).returncode == 0, "run: python tools/journal_doc.py"
