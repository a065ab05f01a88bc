"""`lastbit doctor`: what is installed, and which settings break an assumption."""

from __future__ import annotations

import importlib.util
import json
import tomllib
import warnings
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from lastbit.audit import machine as looked
from lastbit.audit.machine import BREAKS, MAY, MET, machine
from lastbit.cli import main
from lastbit.errors import EXIT_OK, EXIT_REJECTED

ROOT = Path(__file__).resolve().parents[2]


def broken(environment: dict[str, str] | None = None) -> list[str]:
    """What breaks an assumption; each has a reason and a remedy."""
    found = [each for each in machine(environment or {}).findings if each.status == BREAKS]
    assert all(each.does and each.mends for each in found)
    return [each.what for each in found]


def test_as_things_come_nothing_is_broken(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == EXIT_OK
    said = json.loads(capsys.readouterr().out)
    assert said["verdict"] == "nothing known"
    packages = {each["name"]: each for each in said["packages"]}
    for name in ("numpy", "scipy", "onnx", "onnxruntime", "torch", "pillow"):
        assert packages[name]["version"]
        assert not packages[name]["fix"]
    assert {each["status"] for each in said["findings"]} <= {MET, MAY}
    assert main(["doctor"]) == EXIT_OK
    assert packages["onnxruntime"]["version"] in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ONEDNN_DEFAULT_FPMATH_MODE", "BF16"),
        ("ONEDNN_DEFAULT_FPMATH_MODE", "any"),
        ("DNNL_DEFAULT_FPMATH_MODE", "TF32"),
        ("XLA_FLAGS", "--xla_dump_to=x --xla_cpu_enable_fast_math=true"),
        ("NVIDIA_TF32_OVERRIDE", "1"),
    ],
)
def test_a_variable_that_breaks_an_assumption(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    (what,) = broken({name: value})
    assert what.startswith(name)
    monkeypatch.setattr(looked, "machine", lambda: machine({name: value}))
    assert main(["doctor", "--json"]) == EXIT_REJECTED
    assert json.loads(capsys.readouterr().out)["verdict"] == "broken"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ONEDNN_DEFAULT_FPMATH_MODE", "STRICT"),
        ("XLA_FLAGS", "--xla_cpu_enable_fast_math=false"),
        ("NVIDIA_TF32_OVERRIDE", "0"),
        ("OMP_NUM_THREADS", "4"),
    ],
)
def test_one_that_breaks_none(name: str, value: str) -> None:
    assert broken({name: value}) == []


def test_settings_of_pytorch() -> None:
    precision = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert any("medium" in what for what in broken())
    finally:
        torch.set_float32_matmul_precision(precision)
    if torch.backends.nnpack.is_available():
        with warnings.catch_warnings(), ExitStack() as stack:
            warnings.simplefilter("ignore")  # of TF32, which is not asked for
            stack.enter_context(torch.backends.mkldnn.flags(enabled=False))
            assert broken() == ["PyTorch without oneDNN"]
    assert broken() == []


def test_flush_to_zero_in_this_process_is_found() -> None:
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor has no such mode")
    try:
        assert broken() == ["subnormal numbers, here"]
    finally:
        torch.set_flush_denormal(False)


def test_what_is_missing_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "jax" else find(name)
    )
    found = machine({})
    (jax,) = (each for each in found.packages if each.name == "jax")
    assert jax.version is None
    assert "pip install" in jax.fix
    assert "[jax]" in jax.fix
    assert not any(each.what == "jax.jit" for each in found.findings)


def test_what_cannot_be_imported_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    load = looked.importlib.import_module

    def fails(name: str) -> object:
        if name == "torch":
            raise OSError("libsomething.so: cannot open")
        return load(name)

    monkeypatch.setattr(looked.importlib, "import_module", fails)
    (torch,) = (one for one in machine({}).packages if one.name == "torch" and one.version)
    assert "libsomething.so" in torch.fix


def test_the_processor_is_read_where_the_system_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "cpuinfo"
    told.write_text("model name\t: A Processor\nflags\t\t: fpu fma avx2 nothing\n")
    monkeypatch.setattr(looked, "CPU_INFO", told)
    found = machine({})
    assert (found.processor, found.features) == ("A Processor", ("fma", "avx2"))
    monkeypatch.setattr(looked, "CPU_INFO", tmp_path / "none")
    assert machine({}).features == ()


def test_every_extra_is_looked_for() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    of_a_clone = {"test", "dev", "docs", "paper"}
    extras = {*declared["optional-dependencies"]} - of_a_clone
    assert {each.extra for each in machine({}).packages} == {"", *extras}
