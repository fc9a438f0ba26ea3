"""What is left of a run that never began: nothing of its own, and all that was there before."""

import pytest

from concur_batch.cli import directory


def begun(run_dir):
    """As far as a run comes before its first record."""
    before = directory.make(run_dir)
    for name in (directory.CONFIG, directory.INDEX, "lock"):
        (run_dir / name).touch()
    directory.link_latest(run_dir)
    return before


def test_a_new_folder_goes_and_one_that_was_there_is_empty_again(tmp_path):
    new, old = tmp_path / "new", tmp_path / "old"
    old.mkdir()
    for run_dir in (new, old):
        directory.unmake(run_dir, begun(run_dir))
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert list(old.iterdir()) == []


def test_the_folders_around_it_go_too_that_were_made_for_it(tmp_path):
    (tmp_path / "some").mkdir()
    run_dir = tmp_path / "some" / "deep" / "runs" / "one"
    directory.unmake(run_dir, begun(run_dir))
    assert list(tmp_path.rglob("*")) == [tmp_path / "some"]


def test_what_was_there_before_stays(tmp_path):
    mine = tmp_path / "wording.json"
    mine.write_text("mine")
    directory.unmake(tmp_path, begun(tmp_path))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("was_there", [False, True])
def test_latest_does_not_name_it(tmp_path, was_there):
    run_dir = tmp_path / "runs" / "one"
    if was_there:
        run_dir.mkdir(parents=True)
    before = begun(run_dir)
    assert (tmp_path / "runs" / "latest").is_symlink()
    directory.unmake(run_dir, before)
    assert not (tmp_path / "runs" / "latest").is_symlink()


def test_another_ones_latest_stays(tmp_path):
    link = tmp_path / "latest"
    link.symlink_to("/not/mounted/now")
    run_dir = tmp_path / "one"
    directory.unmake(run_dir, begun(run_dir))
    assert link.is_symlink()
