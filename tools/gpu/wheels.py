"""Downloads the wheels of requirements.txt for the GPU machine, makes two of them small, and says what they come to.

    tools/gpu/wheels FOLDER

Needs a package index and some 420 MB of downloads; needs no GPU, and no particular Python.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from repack import repacked

HERE = Path(__file__).parent
PYTHON = "3.12"  # of the GPU machine
# pip takes each as it stands, so every one that some wheel is tagged with is named. 2.34 is what SGLang's own needs.
GLIBC = (34, 31, 28, 27, 26, 24, 17, 12, 5)
PLATFORMS = (*(f"manylinux_2_{minor}_x86_64" for minor in GLIBC), "manylinux2014_x86_64", "manylinux1_x86_64")


def download_argv(folder: Path) -> list[str]:
    """pip's command line: each pin alone, since dependencies would bring PyTorch and 2 GB of CUDA."""
    argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps"]
    argv += ["--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON]
    for platform in PLATFORMS:
        argv += ["--platform", platform]
    return [*argv, "--dest", str(folder), "--requirement", str(HERE / "requirements.txt")]


def report(folder: Path) -> str:
    """What lies in the folder, the largest ones by name."""
    sizes = sorted(((wheel.stat().st_size, wheel.name) for wheel in folder.glob("*.whl")), reverse=True)
    lines = [f"{size / 2**20:7.1f} MiB  {name}" for size, name in sizes[:8]]
    lines.append(f"{sum(size for size, _ in sizes) / 2**20:7.1f} MiB  in {len(sizes)} wheels: {folder}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="wheels", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the wheels go; other wheels there are taken away")
    folder: Path = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as scratch:
        ended = subprocess.run(download_argv(Path(scratch)), check=False).returncode
        if ended != 0:
            print(f"wheels: pip download ended with code {ended}; its words are above", file=sys.stderr)
            return 1
        brought = set(repacked(Path(scratch), folder))
    for old in set(folder.glob("*.whl")) - brought:
        old.unlink()  # two versions of a package would stop the installation
    print(report(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
