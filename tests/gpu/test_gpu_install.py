"""Wheels: what is downloaded, made smaller, and installed without a network."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import install
import pytest
import repack
import wheels

REQUIREMENTS = Path(wheels.HERE) / "requirements.txt"


def make_wheel(folder: Path, name: str, files: dict[str, str], version: str = "1.0") -> Path:
    info = f"{name}-{version}.dist-info"
    content = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*content, f"{info}/RECORD"])
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for entry, text in {**content, f"{info}/RECORD": record}.items():
            wheel.writestr(entry, text)
    return path


def test_only_pinned_wheels_are_downloaded_and_nothing_is_built() -> None:
    argv = wheels.download_argv(Path("there"))
    assert "--no-deps" in argv
    assert "--only-binary=:all:" in argv
    assert argv[argv.index("--python-version") + 1] == "3.12"
    pins = [line.split("#")[0].strip() for line in REQUIREMENTS.read_text().splitlines()]
    assert all("==" in pin for pin in pins if pin)
    assert not any(pin.startswith(("torch==", "triton==", "xgrammar==", "flashinfer")) for pin in pins)


def test_files_that_are_never_loaded_are_left_out_with_their_record(tmp_path: Path) -> None:
    files = {"sgl_kernel/__init__.py": "", "sgl_kernel/flash_ops.abi3.so": "x" * 9999, "sgl_kernel/sm90/common_ops.so": "y"}
    (tmp_path / "full").mkdir()
    make_wheel(tmp_path / "full", "sglang_kernel", files)
    make_wheel(tmp_path / "full", "other", {"other.py": "one = 1\n"})
    found = list(repack.repacked(tmp_path / "full", tmp_path / "small"))
    assert [wheel.name for wheel in found] == ["other-1.0-py3-none-any.whl", "sglang_kernel-1.0-py3-none-any.whl"]
    with zipfile.ZipFile(found[1]) as small:
        assert "sgl_kernel/flash_ops.abi3.so" not in small.namelist()
        assert small.read("sgl_kernel/sm90/common_ops.so") == b"y"
        record = small.read("sglang_kernel-1.0.dist-info/RECORD").decode()
    assert "flash_ops" not in record
    assert "sgl_kernel/sm90/common_ops.so,," in record
    assert found[0].read_bytes() == (tmp_path / "full" / found[0].name).read_bytes()


def test_the_size_is_told(tmp_path: Path) -> None:
    make_wheel(tmp_path, "one", {"one.py": "x" * 2**20})
    assert "1.0 MiB  one-1.0-py3-none-any.whl" in wheels.report(tmp_path)
    assert "in 1 wheels" in wheels.report(tmp_path)


@pytest.mark.parametrize("there", [True, False])
def test_without_wheels_it_says_what_to_run(tmp_path: Path, *, there: bool) -> None:
    folder = tmp_path / "wheels"
    if there:
        folder.mkdir()
    with pytest.raises(install.StageError, match=r"no wheels in .*tools/gpu/wheels"):
        install.install(folder, tmp_path / "work", 10)


def test_two_versions_of_a_package_are_refused(tmp_path: Path) -> None:
    make_wheel(tmp_path, "one", {}, "1.0")
    make_wheel(tmp_path, "one", {}, "2.0")
    with pytest.raises(install.StageError, match="more than one wheel of one"):
        install.wheels_in(tmp_path)


def test_installs_offline_into_a_folder_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    wheel = make_wheel(tmp_path / "wheels", "one", {"one.py": "number = 1\n"})
    argv = install.install_argv([wheel], tmp_path / "site")
    assert {"--no-index", "--no-deps", "--target"} <= set(argv)

    site = install.install(tmp_path / "wheels", tmp_path / "work", 120)
    variables = install.environment(site, tmp_path / "work", {"PATH": "/usr/bin", "PYTHONPATH": "/before"})
    program = "import json, one, flashinfer.comm.mapping as m; print(json.dumps([one.number, str(m)]))"
    told = subprocess.run([sys.executable, "-c", program], env=variables, check=True, capture_output=True, text=True)
    assert json.loads(told.stdout)[0] == 1
    assert variables["PYTHONPATH"].endswith(":/before")
    assert variables["SGLANG_IS_FLASHINFER_AVAILABLE"] == "false"
    assert install.install(tmp_path / "wheels", tmp_path / "work", 0.001) == site, "kept, not installed again"


def test_a_name_of_a_package_left_out_fails_when_it_is_called(tmp_path: Path) -> None:
    program = "from flashinfer.sampling import top_k\ntry:\n    top_k(1)\nexcept NotImplementedError as error:\n    print(error)"
    stubs = str(install.HERE / "stubs")
    told = subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": stubs}, check=True, capture_output=True, text=True)
    assert told.stdout == "flashinfer.sampling.top_k is left out of this installation\n"


def test_grammar_classes_can_be_fields_of_pydantic_models() -> None:
    program = "import pydantic\nfrom xgrammar import StructuralTag as T\nfrom xgrammar.structural_tag import Tag\n"
    program += "class M(pydantic.BaseModel):\n    t: T | None = None\nprint(M())"
    variables = {"PYTHONPATH": str(install.HERE / "stubs")}
    told = subprocess.run([sys.executable, "-c", program], env=variables, check=True, capture_output=True, text=True)
    assert told.stdout == "t=None\n"
