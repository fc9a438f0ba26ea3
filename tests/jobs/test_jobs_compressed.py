import gzip

import pytest
import zstandard

from concur_batch.jobs.compressed import DamagedFile, open_lines

TEXT = b"".join(b'{"id": "%d", "prompt": "count to %d"}\n' % (i, i * i) for i in range(20_000))


def packed(kind: str, data: bytes) -> bytes:
    return gzip.compress(data) if kind == "gz" else zstandard.ZstdCompressor().compress(data)


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_content_comes_whole_also_from_several_frames(tmp_path, kind):
    path = tmp_path / f"a.jsonl.{kind}"
    path.write_bytes(packed(kind, TEXT[:1000]) + packed(kind, TEXT[1000:]))
    with open_lines(path, kind) as stream:
        assert b"".join(stream) == TEXT


@pytest.mark.parametrize("kind", ["gz", "zst"])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_a_cut_off_file_is_an_error_and_never_a_silent_end(tmp_path, kind, share):
    path = tmp_path / f"a.jsonl.{kind}"
    whole = packed(kind, TEXT)
    path.write_bytes(whole[: int(len(whole) * share)])
    with open_lines(path, kind) as stream, pytest.raises(DamagedFile, match="breaks off"):
        for _ in stream:
            pass


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_other_data_is_an_error(tmp_path, kind):
    path = tmp_path / f"a.jsonl.{kind}"
    path.write_bytes(TEXT)
    with open_lines(path, kind) as stream, pytest.raises(DamagedFile, match="is not sound"):
        stream.read()


def test_plain_files_are_read_as_they_are(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(TEXT)
    with open_lines(path, None) as stream:
        assert stream.read() == TEXT
