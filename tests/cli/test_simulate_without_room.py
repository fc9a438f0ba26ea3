"""`concur simulate --out` where something cannot be written: what it says can be done, and that doing it works."""

import signal
import subprocess

import pytest
from forked import CONCUR, PIPE, Program, concur

AGAIN = "mend that, and run `concur simulate` again with another --out\n"
SAME = "mend that, and give the same command again\n"
SMALL = ("simulate", "--agents", "30", "--out")


@pytest.mark.parametrize(
    ("kib", "file", "mend"),
    [
        (0, "lock: cannot be written", SAME),
        (1, "job.index: cannot be written", SAME),
        (2, "config.json: cannot be written", SAME),
        (16, "journal/000001.jsonl: cannot write", AGAIN),
    ],
)
@pytest.mark.parametrize("was_there", [False, True])
def test_a_full_disk_is_told_with_what_helps(kib, file, mend, was_there, tmp_path):
    """A limit on the size of files stands in for the disk's end."""
    if was_there:
        (tmp_path / "out").mkdir()
    begun = subprocess.run(
        ["bash", "-c", f'ulimit -S -f {kib}; exec "$0" "$@"', *CONCUR, *SMALL, "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (begun.returncode, begun.stdout) == (2, "")
    assert begun.stderr == f"concur: out/{file} (File too large); {mend}"
    assert not was_there or (tmp_path / "out").is_dir()
    assert concur(*SMALL, "out" if mend == SAME else "other", cwd=tmp_path).returncode == 0


def test_results_that_cannot_be_written_likewise(tmp_path):
    with Program("simulate", "--agents", "200", "--out", "out", cwd=tmp_path, stdout=PIPE, stderr=PIPE) as begun:
        while not (tmp_path / "out" / "journal" / "000001.jsonl").exists():
            assert begun.poll() is None
        begun.send_signal(signal.SIGSTOP)
        (tmp_path / "out" / ".series.parquet.part").mkdir()
        begun.send_signal(signal.SIGCONT)
        out, err = begun.communicate(timeout=60)
    assert (begun.returncode, out) == (2, "")
    assert err == f"concur: out/series.parquet could not be written (Is a directory); {AGAIN}"
