from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from concur_batch.errors import ToolError
from concur_batch.toolbox.confined import open_inside

READ, WRITE = os.O_RDONLY, os.O_WRONLY | os.O_CREAT


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with all kinds of traps, and a secret beside it."""
    root = (tmp_path / "workspace").resolve()
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "file").write_text("inside")
    (tmp_path / "secret").write_text("secret")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "relative").symlink_to("../secret")
    (root / "away").symlink_to(tmp_path)
    (root / "near").symlink_to("sub")
    (root / "dangling").symlink_to(tmp_path / "new")
    os.mkfifo(root / "pipe")
    return root


def read(root: Path, path: str, flags: int = READ) -> str:
    with os.fdopen(open_inside(root, path, flags)) as file:
        return file.read()


@pytest.mark.parametrize("path", ["sub/file", "./sub//file", "sub/./file"])
def test_files_inside_are_opened(root: Path, path: str) -> None:
    assert read(root, path) == "inside"
    assert read(root, f"{root}/{path}") == "inside"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("../secret", r"holds `\.\.`"),
        ("sub/../../secret", r"holds `\.\.`"),
        ("/etc/passwd", "outside of the workspace"),
        ("link", "is a symbolic link"),
        ("relative", "is a symbolic link"),
        ("away/secret", "through a file or a symbolic link"),
        ("near/file", "through a file or a symbolic link"),
        ("sub/file/x", "through a file or a symbolic link"),
        ("dangling", "is a symbolic link"),
        ("", "is no file"),
        (".", "is no file"),
        ("a\0b", "NUL"),
        ("pipe", "not a regular file|pipe: No such device"),
        ("sub", "is a folder"),
        ("x" * 300, "File name too long"),
    ],
)
@pytest.mark.parametrize("flags", [READ, WRITE])
def test_ways_out_are_refused(root: Path, path: str, why: str, flags: int) -> None:
    with pytest.raises(ToolError, match=why):
        open_inside(root, path, flags)
    assert (root.parent / "secret").read_text() == "secret"
    assert not (root.parent / "new").exists()


def test_a_missing_file_is_said(root: Path) -> None:
    with pytest.raises(ToolError, match="no file no/such in the workspace"):
        open_inside(root, "no/such", READ)
    assert not (root / "no").exists()


def test_folders_are_made_for_a_new_file(root: Path) -> None:
    os.close(open_inside(root, "a/b/c", WRITE))
    assert (root / "a/b/c").is_file()


PARTS = st.sampled_from(["..", ".", "sub", "file", "link", "away", "near", "secret", "relative", "", "new", "~", "pipe"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.lists(PARTS, max_size=6), st.booleans())
def test_no_path_leads_to_the_secret(root: Path, parts: list[str], absolute: bool) -> None:
    path = "/".join([str(root)] * absolute + parts)
    try:
        text = read(root, path)
    except ToolError:
        return
    assert text == "inside"
