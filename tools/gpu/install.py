"""Puts the wheels into a folder of their own beside the machine's packages, and tells the environment they need. Standard library only."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]


class StageError(Exception):
    """A stage did not come to its end; the text says which, and what would mend it."""


def wheels_in(folder: Path) -> list[Path]:
    """All wheels there. Raises StageError where there are none, or two of one package."""
    wheels = sorted(folder.glob("*.whl"))
    if not wheels:
        raise StageError(f"there are no wheels in {folder}; run `tools/gpu/wheels {folder}` where there is a package index")
    names = [wheel.name.partition("-")[0].lower() for wheel in wheels]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise StageError(f"{folder} holds more than one wheel of {', '.join(twice)}; run tools/gpu/wheels again")
    return wheels


def install_argv(wheels: list[Path], site: Path) -> list[str]:
    """pip's command line. Into a folder rather than an environment: the machine's Python may itself live in one, whose packages
    an environment made from it would not see.
    """
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--no-index"]
    return [*argv, "--no-deps", "--no-compile", "--no-cache-dir", "--target", str(site), *map(str, wheels)]


def install(folder: Path, work: Path, seconds: float) -> Path:
    """Wheels and stand-ins in a folder below `work`; what was installed there from the same wheels is kept. Raises StageError."""
    wheels = wheels_in(folder)
    listed = "\n".join(f"{wheel.name} {wheel.stat().st_size}" for wheel in wheels)
    site = work / f"site-{hashlib.sha256(listed.encode()).hexdigest()[:12]}"
    if not site.exists():
        unfinished = site.with_name(f"{site.name}.part")
        shutil.rmtree(unfinished, ignore_errors=True)
        try:
            ended = subprocess.run(install_argv(wheels, unfinished), check=False, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise StageError(f"installing {len(wheels)} wheels took more than {seconds:.0f} s") from None
        if ended.returncode != 0:
            raise StageError(f"pip install ended with code {ended.returncode}; its words are above")
        unfinished.rename(site)
    shutil.copytree(HERE / "stubs", site, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    _write_command(work / "bin" / "concur")
    return site


def _write_command(path: Path) -> None:
    """`concur` of this checkout, without installing it: it is found by PYTHONPATH."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable}\nimport sys\n\nfrom concur_batch.cli.main import main\n\nsys.exit(main())\n")
    path.chmod(0o755)


def cuda_home() -> Path | None:
    """The CUDA toolkit with compiler, headers and runtime library; SGLang compiles some kernels when it starts."""
    compiler = shutil.which("nvcc")
    candidates = [Path(home) for name in ("CUDA_HOME", "CUDA_PATH") if (home := os.environ.get(name))]
    candidates += [Path("/usr/local/cuda"), *sorted(Path("/usr/local").glob("cuda-*"), reverse=True)]
    if compiler:
        candidates.append(Path(compiler).resolve().parents[1])
    for home in candidates:
        if (home / "bin" / "nvcc").exists() and (home / "include" / "cuda_runtime.h").exists():
            return home
    return None


def environment(site: Path, work: Path, base: Mapping[str, str]) -> dict[str, str]:
    """For everything started from here on: the wheels first, then this checkout, then the machine's own packages."""
    parts = [str(site), str(CHECKOUT / "src"), *filter(None, [base.get("PYTHONPATH")])]
    path = [str(work / "bin"), str(Path(sys.executable).parent), base.get("PATH", "")]
    found = {
        **base,
        "PYTHONPATH": os.pathsep.join(parts),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "",  # compiled once, used by four processes
        "SGLANG_IS_FLASHINFER_AVAILABLE": "false",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TVM_FFI_CACHE_DIR": str(work / "kernels"),
        "TRITON_CACHE_DIR": str(work / "triton"),
    }
    home = cuda_home()
    if home is not None:
        found["CUDA_HOME"] = str(home)
        path.insert(1, str(home / "bin"))
        libraries = [str(home / name) for name in ("lib64", "lib", "targets/x86_64-linux/lib") if (home / name).is_dir()]
        found["LIBRARY_PATH"] = os.pathsep.join([*libraries, *filter(None, [base.get("LIBRARY_PATH")])])
    found["PATH"] = os.pathsep.join(path)
    return found
