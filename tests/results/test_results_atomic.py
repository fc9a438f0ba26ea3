import errno
import os
import stat

import pytest

from concur_batch.errors import RunDirectoryError
from concur_batch.results.atomic import replacing


def test_the_file_appears_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.txt", "new")]


def test_a_failure_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as file:
        file.write(b"%d" % (1 / 0))
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.txt", "old")]


def test_a_full_disk_is_one_sentence_with_the_mend(tmp_path):
    expected = r"a\.txt could not be written \(No space left on device\).*concur resume"
    with pytest.raises(RunDirectoryError, match=expected), replacing(tmp_path / "a.txt"):
        raise OSError(28, "No space left on device")


def test_a_missing_folder_likewise(tmp_path):
    with pytest.raises(RunDirectoryError, match="No such file or directory"), replacing(tmp_path / "gone" / "a.txt"):
        pass


@pytest.mark.parametrize("refusal", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EACCES])
def test_a_file_system_that_syncs_no_folders_has_the_file_all_the_same(tmp_path, monkeypatch, refusal):
    sync_files_alone(monkeypatch, refusal)
    with replacing(tmp_path / "a.txt") as file:
        file.write(b"new")
    assert (tmp_path / "a.txt").read_bytes() == b"new"


def test_a_folder_that_fails_to_reach_the_disk_is_told(tmp_path, monkeypatch):
    sync_files_alone(monkeypatch, errno.EIO)
    with pytest.raises(RunDirectoryError, match="Input/output error"), replacing(tmp_path / "a.txt"):
        pass


def sync_files_alone(monkeypatch, refusal):
    sync = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(refusal, os.strerror(refusal))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
