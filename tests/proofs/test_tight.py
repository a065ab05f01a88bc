"""`make theorem`: what it proves of a small network, what it refuses, and what its log says.

A small network takes the place of the shipped one, whose theorem takes long. Run `make proofs`
first; without it, or without Coq, the tests that compile are skipped.
"""

import re
import runpy
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lastbit.certificate.write import draft, hints_for
from lastbit.graph import OnnxBuilder, read_onnx

ROOT = Path(__file__).resolve().parents[2]
PROOFS = ROOT / "proofs"
WRITE = runpy.run_path(str(PROOFS / "tight/write.py"))
THEOREM = (PROOFS / "tight/Theorem.v").read_text()
SHIPPED = ("1217 * one / 1000", "2953", "0.2953")  # R, U in units of 10^-4, and U

needs_proofs = pytest.mark.skipif(
    shutil.which("coqc") is None or not (PROOFS / "tight/Decided.vo").exists(),
    reason="coqc is not installed, or make proofs was not run",
)


def network(seed: int = 5, scale: float = 0.4) -> bytes:
    """A stem with stride, a depthwise convolution, a gate, a residual branch, mean, dense."""
    rng = np.random.default_rng(seed)

    def weights(*shape: int) -> np.ndarray:
        return rng.normal(size=shape) * scale

    b = OnnxBuilder()
    x = b.div(b.input_bytes((1, 4, 4)), 255)
    x = b.silu(b.conv(x, weights(3, 1, 3, 3), weights(3), stride=2, padding=1))
    y = b.silu(b.conv(x, weights(3, 1, 3, 3), weights(3), padding=1, group=3))
    s = b.silu(b.conv(b.mean(y), weights(2, 3, 1, 1), weights(2)))
    y = b.gate(y, b.sigmoid(b.conv(s, weights(3, 2, 1, 1), weights(3))))
    x = b.add(b.conv(y, weights(3, 3, 1, 1), weights(3)), x)
    b.softmax(b.dense(b.mean(x), weights(3, 3), weights(3)))
    return b.to_bytes()


class Trial:
    """Theorem.v with a network's literals, in a copy of what `make proofs` built."""

    def __init__(self, model: bytes, folder: Path) -> None:
        self.folder = folder / "proofs"
        leave = shutil.ignore_patterns("Data.*", "Theorem.*", "*.glob", ".*", "*.vos", "*.vok")
        shutil.copytree(PROOFS, self.folder, ignore=leave)
        (folder / "model.onnx").write_bytes(model)
        made = draft(model, hints_for(read_onnx(folder / "model.onnx")))
        self.logits = made.derived.logits
        (folder / "certificate.json").write_bytes(made.manifest)
        WRITE["main"](folder / "model.onnx", folder / "certificate.json", self.folder / "tight")

    def run(self, r: int, u: int) -> subprocess.CompletedProcess[str]:
        """The theorem with R, and U, in units of 10^-6."""
        numbers = (f"{r} * one / 1000000", f"{u}", f"({u} / 1000000)")
        text = THEOREM.replace("10000", "1000000")
        for old, new in zip(SHIPPED, numbers, strict=True):
            text = text.replace(old, new)
        (self.folder / "tight/Theorem.v").write_text(text)
        found = self.coqc("tight/Data.v")
        return self.coqc("tight/Theorem.v") if found.returncode == 0 else found

    def coqc(self, file: str) -> subprocess.CompletedProcess[str]:
        command = ["coqc", "-Q", ".", "Lastbit", file]
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=900
        )


def failing(ran: subprocess.CompletedProcess[str]) -> str:
    """The theorem whose proof fails."""
    assert ran.returncode != 0
    line = int(ran.stderr.split("line ", 1)[1].split(",", 1)[0])
    return next(s.split()[1] for s in reversed(THEOREM.splitlines()[:line]) if s[:7] == "Theorem")


PRINT = """
From Coq Require Import ZArith Uint63.
From Lastbit Require Import checker.Program zero.Onnx tight.Decided tight.Data.
Definition nodes := match read file with Some l => l | None => nil end.
Eval vm_compute in match decide file nodes flags ratio boundary with
  | Some r => ceil_div (r * 10 ^ 6)%Z one | None => (- 1)%Z end.
"""


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trial, int]:
    """A network's trial, and R in units of 10^-6, rounded up, as Coq finds it."""
    made = Trial(network(), tmp_path_factory.mktemp("tight"))
    assert made.coqc("tight/Data.v").returncode == 0
    (made.folder / "tight/Print.v").write_text(PRINT)
    ran = made.coqc("tight/Print.v")
    assert ran.returncode == 0, ran.stderr
    return made, int(re.findall(r"= \(?(-?\d+)", ran.stdout)[-1])


@needs_proofs
def test_a_small_network(trial: tuple[Trial, int]) -> None:
    made, r = trial
    # no smaller than what lastbit_check, which has sharper rules, finds; and not much larger
    assert made.logits <= Fraction(r, 10**6) <= 2 * made.logits
    ran = made.run(r, r // 4 + 50)
    assert ran.returncode == 0, ran.stderr
    axioms = ran.stdout.split("Axioms:", 1)[1]
    assert "Lastbit" not in axioms and "file" not in axioms


@needs_proofs
def test_a_smaller_number_is_refused(trial: tuple[Trial, int]) -> None:
    made, r = trial
    assert failing(made.run(r - 1, r // 4 + 50)).rstrip(":") == "is_bounded"
    assert failing(made.run(r, r // 8)).rstrip(":") == "is_below"
