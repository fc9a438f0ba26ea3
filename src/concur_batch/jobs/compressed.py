"""Plain, gzip and zstd files as one binary stream of lines; a cut-off file is an error, never a silent end."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAGIC = {b"\x1f\x8b": "gz", b"\x28\xb5\x2f\xfd": "zst"}
_BUFFER_BYTES = 1 << 18
_CHUNK_BYTES = 1 << 14  # compressed bytes at a time: a small piece can unfold to thousands of times its size


class DamagedFile(Exception):
    """The compressed stream breaks off or is not what its name says. Its text says what and the mend."""


class _ZstdStream(io.RawIOBase):
    """zstandard's own reader takes a cut-off file for a finished one; this one raises DamagedFile."""

    def __init__(self, source: IO[bytes]) -> None:
        import zstandard  # noqa: PLC0415 - only who reads .zst pays for it

        self._source = source
        self._decompressor = zstandard.ZstdDecompressor()
        self._frame = self._decompressor.decompressobj()
        self._frame_begun = False
        self._error = zstandard.ZstdError
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        while not self._ready:
            chunk = self._source.read(_CHUNK_BYTES)
            if not chunk:
                if self._frame_begun:
                    raise DamagedFile("the zstd data breaks off before its end; copy or compress the file again")
                return 0
            self._ready = self._decompress(chunk)
        count = min(len(view), len(self._ready))
        view[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _decompress(self, chunk: bytes) -> bytes:
        """A file may hold several frames one after the other (`cat a.zst b.zst`)."""
        parts = []
        while chunk:
            self._frame_begun = True
            try:
                parts.append(self._frame.decompress(chunk))
            except self._error as error:
                raise DamagedFile(f"is not sound zstd data ({error}); compress the file again") from error
            if not self._frame.eof:
                break
            chunk = self._frame.unused_data
            self._frame = self._decompressor.decompressobj()
            self._frame_begun = False
        return b"".join(parts)

    def close(self) -> None:
        self._source.close()
        super().close()


class _GzipStream(io.RawIOBase):
    """gzip with the library's many exceptions turned into DamagedFile."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._gzip = gzip.GzipFile(fileobj=source, mode="rb")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        try:
            return self._gzip.readinto(buffer)
        except EOFError as error:
            raise DamagedFile("the gzip data breaks off before its end; copy or compress the file again") from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise DamagedFile(f"is not sound gzip data ({error}); compress the file again") from error

    def close(self) -> None:
        self._gzip.close()
        self._source.close()
        super().close()


def open_lines(path: Path, compression: str | None) -> IO[bytes]:
    """A buffered binary stream of the file's content; `compression` is None, `gz` or `zst`.

    Reading raises DamagedFile where the compressed data is not whole; opening raises OSError.
    """
    return _unpacked(path.open("rb", buffering=_BUFFER_BYTES), compression)


def open_unnamed(path: Path) -> IO[bytes]:
    """The same for a file whose first bytes tell how it is compressed. It is opened once, so that it may be a pipe."""
    source = io.BufferedReader(path.open("rb", buffering=0), _BUFFER_BYTES)
    head = source.peek(4)
    return _unpacked(source, next((kind for mark, kind in MAGIC.items() if head.startswith(mark)), None))


def _unpacked(source: IO[bytes], compression: str | None) -> IO[bytes]:
    if compression is None:
        return source
    return io.BufferedReader(_GzipStream(source) if compression == "gz" else _ZstdStream(source), _BUFFER_BYTES)
