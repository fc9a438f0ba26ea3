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
