"""Makes a wheel smaller by leaving files out of it that are never loaded here."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

# Names in the wheel that begin so. FA3, the default on Hopper, is by far the largest: hence --attention-backend triton.
LEFT_OUT = {
    "sglang_kernel": ("sgl_kernel/flash_ops", "sgl_kernel/sm100/", "sgl_kernel/infllm_ops", "sgl_kernel/flashmla_ops"),
    "sglang": (
        "sglang/multimodal_gen/",
        "sglang/test/",
        "sglang/srt/server/_core",
        "sglang/srt/grpc/_core",
        "sglang/srt/multimodal/_core",
    ),
}


def distribution(wheel: Path) -> str:
    """Its name as the file's name spells it: `sglang_kernel`."""
    return wheel.name.partition("-")[0]


def repack(wheel: Path, out: Path, left_out: Sequence[str]) -> None:
    """Write `out`: the wheel without the files whose names begin so, and without their lines in its RECORD."""
    begins = tuple(left_out)
    unfinished = out.with_name(f"{out.name}.part")
    with zipfile.ZipFile(wheel) as full, zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as small:
        for entry in full.infolist():
            if entry.filename.startswith(begins):
                continue
            content = full.read(entry)
            if entry.filename.endswith(".dist-info/RECORD"):
                content = _record(content.decode(), begins).encode()
            small.writestr(entry.filename, content)
    unfinished.replace(out)


def _record(text: str, begins: tuple[str, ...]) -> str:
    kept = io.StringIO()
    csv.writer(kept, lineterminator="\n").writerows(row for row in csv.reader(text.splitlines()) if not row[0].startswith(begins))
    return kept.getvalue()


def repacked(folder: Path, out: Path) -> Iterator[Path]:
    """Each wheel of `folder` as it is to be brought, in `out`; yields the new files. Only those named above change."""
    out.mkdir(parents=True, exist_ok=True)
    for wheel in sorted(folder.glob("*.whl")):
        target = out / wheel.name
        left_out = LEFT_OUT.get(distribution(wheel))
        if left_out:
            repack(wheel, target, left_out)
        else:
            target.write_bytes(wheel.read_bytes())
        yield target
