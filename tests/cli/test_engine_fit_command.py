"""`concur engine fit`: what it refuses before it measures anything."""

import asyncio
import os

import pytest
from chat_server import ChatServer, captured, says
from forked import concur

NOBODY = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("mine.toml", "mine.toml: exists already; give another -o, or add --force to replace it"),
        ("important.txt", "important.txt: a profile file ends in .toml"),
        ("new", "new: a profile file ends in .toml"),
        ("folder.toml", "folder.toml: is no regular file"),
        ("nowhere/mine.toml", "there is no folder nowhere"),
    ],
)
def test_a_place_for_the_profile_is_refused_before_anything_is_measured(tmp_path, place, said):
    for name in ("mine.toml", "important.txt"):
        (tmp_path / name).write_text("precious")
    (tmp_path / "folder.toml").mkdir()
    done = concur("engine", "fit", NOBODY, "-o", place, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert said in done.stderr
    assert (tmp_path / "mine.toml").read_text() == (tmp_path / "important.txt").read_text() == "precious"


def test_a_file_is_replaced_where_that_is_forced_and_only_by_a_profile(tmp_path):
    (tmp_path / "mine.toml").write_text("precious")
    done = concur("engine", "fit", NOBODY, "-o", "mine.toml", "--force", cwd=tmp_path)
    assert (done.returncode, "see that the server is started there" in done.stderr) == (3, True), done.stderr
    assert (tmp_path / "mine.toml").read_text() == "precious"


@pytest.mark.parametrize("name", ["CONCUR_API_KEY", "SGLANG_API_KEY", "OPENAI_API_KEY", None])
def test_the_key_comes_from_where_it_does_for_a_run(tmp_path, name):
    async def models(http):
        known = http.headers.get("Authorization") == "Bearer sesame"
        return await (says(captured("models.json")) if known else says("", 401))(http)

    env = {key: value for key, value in os.environ.items() if not key.endswith("_API_KEY")}
    given = () if name else ("--api-key", "sesame")

    async def main():
        async with ChatServer(routes={"/v1/models": models}) as server:
            more = {"cwd": tmp_path, "env": env | ({name: "sesame"} if name else {})}
            return await asyncio.to_thread(concur, "engine", "fit", server.url, *given, **more)

    assert "is not SGLang: a profile is fitted" in asyncio.run(main()).stderr  # the key was taken
