"""`make theorem-zero`: what it proves, what it refuses, and that its literals are the file.

The little network of tests/absorbing.py takes the place of the shipped one where something is wrong
on purpose. Run `make proofs` first; without it, or without Coq, the tests that compile are skipped.
"""

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from support.absorbing import BIAS, REFUSED, SPACING, absorber
from support.theorems import PROOFS, Trial

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "models/zero/model.onnx"

needs_proofs = pytest.mark.skipif(
    shutil.which("coqc") is None or not (PROOFS / "zero/Programs.vo").exists(),
    reason="coqc is not installed, or make proofs was not run",
)


def script() -> ModuleType:
    """proofs/zero/write.py as a module."""
    spec = importlib.util.spec_from_file_location("zero_write", PROOFS / "zero/write.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


WRITE = script()


def trial(literals: str, folder: Path) -> Trial:
    """The theorem of `zero` with these literals."""
    made = Trial("zero", folder)
    (made.folder / "Data.v").write_text(literals)
    return made


def failing(literals: str, folder: Path) -> str:
    """The theorem whose proof fails with these literals."""
    made = trial(literals, folder)
    return made.failing(made.proved())


@needs_proofs
def test_the_shipped_model(tmp_path: Path) -> None:
    ran = trial(WRITE.literals(SHIPPED.read_bytes()), tmp_path).proved()
    assert ran.returncode == 0, ran.stderr
    assert "25ae100b1a554277490a09e1d3e4dd5c26533c83aafbcd44264f0e00a8b855a2" in ran.stdout
    axioms = ran.stdout.split("Axioms:", 1)[1]
    assert "Lastbit" not in axioms and "file" not in axioms


@needs_proofs
def test_a_little_network_that_absorbs(tmp_path: Path) -> None:
    assert trial(WRITE.literals(absorber()), tmp_path).proved().returncode == 0


@needs_proofs
@pytest.mark.parametrize("name", REFUSED)
def test_a_network_that_does_not_absorb(name: str, tmp_path: Path) -> None:
    changes: dict[str, Any] = REFUSED[name][0]
    theorems = {"around": "is_behind", "batch_norm": "is_read"}
    where = next((theorems[c] for c in changes if c in theorems), "is_absorbing")
    assert failing(WRITE.literals(absorber(**changes)), tmp_path) == where


@needs_proofs
@pytest.mark.parametrize("what", ["weight", "bias"])
def test_a_tampered_number(what: str, tmp_path: Path) -> None:
    """One weight, or one bias, a few units in the last place away, in the file itself."""
    data = absorber()
    exact = {"weight": 127 * SPACING, "bias": BIAS}[what]
    changed = {"weight": 128 * SPACING, "bias": BIAS / 2}[what]
    pattern = np.float32(exact).tobytes()
    at = data.find(pattern)
    tampered = data[:at] + np.float32(changed).tobytes() + data[at + 4 :]
    assert failing(WRITE.literals(tampered), tmp_path) == "is_absorbing"


@needs_proofs
def test_another_file_than_the_named_one(tmp_path: Path) -> None:
    """A literal is changed after the SHA-256 was taken: a letter of the producer's name."""
    text = WRITE.literals(absorber())
    end = text.index(" ", text.index("(Pack 0x") + len("(Pack "))
    other = text[: end - 1] + ("1" if text[end - 1] == "0" else "0") + text[end:]
    assert failing(other, tmp_path) == "named"


def test_the_literals_are_the_file() -> None:
    data = SHIPPED.read_bytes()
    kept, counts = WRITE.runs(data)
    found, at = bytearray(), 0
    for run in counts:
        found += kept[at : at + (run >> 25)] + bytes(run & (1 << 25) - 1)
        at += run >> 25
    assert bytes(found) == data
