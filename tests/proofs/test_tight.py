"""`make theorem`: what it proves of a small network, what it refuses, and what its log says.

A small network takes the place of the shipped one, whose theorem takes long. Run `make proofs`
first; without it, or without Coq, the tests that compile are skipped.
"""

import hashlib
import json
import random
import re
import runpy
import shutil
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lastbit.certificate.write import draft
from lastbit.float32.executor import execute
from lastbit.float32.sums import Order
from lastbit.graph import ByteArray, Network, read_onnx
from lastbit.hints import hints_for
from lastbit_check.question import ANY_TWO
from support.theorems import PROOFS, Trial

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
WRITE = runpy.run_path(str(PROOFS / "tight/write.py"))
SMALL = runpy.run_path(str(PROOFS / "small/write.py"))
NATIVE = ROOT / "build/checker/lastbit-coq-bound"
THEOREM = (PROOFS / "tight/Theorem.v").read_text()
(U,) = re.findall(r"last_bit_bound tight_network (0\.\d{4})\.", THEOREM)
(R,) = re.findall(r"Definition bound : Z := (.*)\.", THEOREM)
SHIPPED = (R, str(round(float(U) * 10**4)), U)  # R, U in units of 10^-4, and U

needs_proofs = pytest.mark.skipif(
    shutil.which("coqc") is None or not (PROOFS / "tight/Decided.vo").exists(),
    reason="coqc is not installed, or make proofs was not run",
)


class Small(Trial):
    """The theorem with the literals of the small network."""

    def __init__(self, folder: Path) -> None:
        super().__init__("tight", folder)
        self.model, self.certificate = folder / "model.onnx", folder / "certificate.json"
        self.model.write_bytes(SMALL["small_network"](shifted=False))
        self.network = read_onnx(self.model)
        made = draft(self.model.read_bytes(), hints_for(self.network))
        self.logits = made.derived.claims[ANY_TWO].logits
        self.certificate.write_bytes(made.manifest)
        WRITE["main"](self.model, self.certificate, self.folder)

    def with_numbers(self, r: int, u: int) -> subprocess.CompletedProcess[str]:
        """The theorem with R, and U, in units of 10^-6."""
        numbers = (f"{r} * one / 1000000", f"{u}", f"({u} / 1000000)")
        text = self.text
        for old, new in zip(SHIPPED, numbers, strict=True):
            text = text.replace(old, new)
        text = text.replace(f"{u} * one / 10000", f"{u} * one / 1000000")
        return self.proved(text.replace(f"({u} * one) 10000", f"({u} * one) 1000000"))


def attained(network: Network, images: int = 8) -> Fraction:
    """The largest change of a difference of two logits seen, in two orders of summation."""
    rng = np.random.default_rng(1)
    most = Fraction(0)

    def logits(image: ByteArray, order: Order) -> list[Fraction]:
        values = execute(network, image, order=order, keep=True)[1][network.logits]
        return [Fraction(float(v)) for v in values.ravel()]

    for image in rng.choice(256, size=(images, *network.input_shape)).astype(np.uint8):
        before = logits(image, "forward")
        for k in range(image.size):
            other = image.copy()
            other.flat[k] ^= 1
            after = logits(other, "reversed")
            moved = [b - a for a, b in zip(before, after, strict=True)]
            most = max(most, max(moved) - min(moved))
    return most


PRINT = """
From Coq Require Import ZArith Uint63.
From Lastbit Require Import checker.Program onnx.Onnx tight.Decided tight.Data.
Eval vm_compute in match decide file (if_any (read file)) flags ratio boundary with
  | Some r => ceil_div (r * 10 ^ 6)%Z one | None => (- 1)%Z end.
"""


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> tuple[Small, int]:
    """A network's trial, and R in units of 10^-6, rounded up, as Coq finds it."""
    made = Small(tmp_path_factory.mktemp("tight"))
    made.data()
    (made.folder / "Print.v").write_text(PRINT)
    ran = made.coqc(made.folder / "Print.v")
    assert ran.returncode == 0, ran.stderr
    return made, int(re.findall(r"= \(?(-?\d+)", ran.stdout)[-1])


@pytest.fixture(scope="module")
def reached(trial: tuple[Small, int]) -> Fraction:
    """What executions of the network attain."""
    return attained(trial[0].network)


@needs_proofs
def test_a_small_network(trial: tuple[Small, int], reached: Fraction) -> None:
    made, r = trial
    # each has rules that the other one has not
    assert made.logits / 2 <= Fraction(r, 10**6) <= 2 * made.logits
    assert reached <= Fraction(r, 10**6)
    ran = made.with_numbers(r, r // 4 + 50)
    assert ran.returncode == 0, ran.stderr
    axioms = ran.stdout.split("Axioms:", 1)[1]
    assert "Lastbit" not in axioms and "file" not in axioms


@needs_proofs
def test_a_smaller_number_is_refused(trial: tuple[Small, int]) -> None:
    made, r = trial
    assert made.failing(made.with_numbers(r - 1, r // 4 + 50)) == "is_bounded"
    assert made.failing(made.with_numbers(r, r // 8)) == "is_below"


@needs_proofs
@pytest.mark.skipif(not NATIVE.exists(), reason="make checker was not run")
def test_the_extracted_program(trial: tuple[Small, int]) -> None:
    made, r = trial
    command = [NATIVE, made.model, made.folder / "flags.txt"]
    sha256, verdict = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    assert sha256 == made.network.sha256
    word, _, found = verdict.split()
    assert word == "accepted"
    assert -(-int(found, 16) * 10**6 // 2**100) == r


@needs_proofs
@pytest.mark.skipif(not NATIVE.exists(), reason="make checker was not run")
def test_no_hint_makes_the_bound_too_small(
    trial: tuple[Small, int], reached: Fraction, tmp_path: Path
) -> None:
    """Flags, boundary and ratio at random: refused, or a bound that executions do not exceed."""
    made, _ = trial
    rng, accepted = random.Random(3), 0
    told = WRITE["given"](made.model, made.certificate)
    for k in range(9):
        often = 0.04 * k  # at first the hints as they are, refused when too much is changed
        flags = [tuple(flag ^ (rng.random() < often / 4) for flag in pair) for pair in told.flags]
        boundary = told.boundary if rng.random() > often else rng.choice([0, 5, 10**6])
        ratio = told.ratio if rng.random() > often else rng.choice([told.ratio // 2, 2**22])
        text = told._replace(flags=flags, boundary=boundary, ratio=ratio).plain()
        (tmp_path / "flags.txt").write_text(text)
        command = [NATIVE, made.model, tmp_path / "flags.txt"]
        ran = subprocess.run(command, capture_output=True, text=True)
        verdict = ran.stdout.splitlines()[1]
        if ran.returncode == 0:
            accepted += 1
            assert Fraction(int(verdict.split()[2], 16), 2**100) >= reached
        else:
            assert (ran.returncode, verdict) == (1, "refused")
    assert 0 < accepted < 9


def test_the_log_is_of_the_shipped_model_and_says_what_the_documents_say() -> None:
    log = (PROOFS / "tight/theorem.log").read_text()
    model = (ROOT / "models/tight/model.onnx").read_bytes()
    assert f'"{hashlib.sha256(model).hexdigest()}"' in log
    shown = f"({len(model):#x}%uint63, 784%nat, 302426%N, 191%nat, 10%nat)"
    assert shown in re.sub(r"\s+", " ", log)
    assert f"last_bit_bound tight_network {U}" in log
    for name in ("README.md", "docs/trust.md", "CHANGELOG.md"):
        assert U in (ROOT / name).read_text(), name
    claim = json.loads((ROOT / "models/tight/certificate.json").read_text())["claim"][ANY_TWO]
    certified = float.fromhex(claim["upper"])
    assert certified < float(U) < 1.13 * certified  # roundings are not taken together inside Coq


DRIVER = """let () = try while true do
  Scanf.scanf "%s %i %i\n" (fun op x y -> let a, b = match op with
    | "add" -> 0, Uint63.add x y | "sub" -> 0, Uint63.sub x y | "mulc" -> Uint63.mulc x y
    | "mul" -> 0, Uint63.mul x y | "div" -> 0, Uint63.div x y | "rem" -> 0, Uint63.rem x y
    | "lt" -> 0, Bool.to_int (Uint63.lt x y) | "le" -> 0, Bool.to_int (Uint63.le x y)
    | "l_sl" -> 0, Uint63.l_sl x y | "l_sr" -> 0, Uint63.l_sr x y | _ -> failwith op in
  Printf.printf "%u %u\n" a b) done with End_of_file -> ()
"""
EXACT: dict[str, Callable[[int, int], int]] = {
    "add": lambda x, y: (x + y) % 2**63,
    "sub": lambda x, y: (x - y) % 2**63,
    "mul": lambda x, y: x * y % 2**63,
    "mulc": lambda x, y: x * y,
    "div": lambda x, y: x // y if y else 0,
    "rem": lambda x, y: x % y if y else x,
    "lt": lambda x, y: int(x < y),
    "le": lambda x, y: int(x <= y),
    "l_sl": lambda x, y: (x << y) % 2**63 if y < 63 else 0,
    "l_sr": lambda x, y: x >> y if y < 63 else 0,
}


@pytest.mark.skipif(shutil.which("ocamlopt") is None, reason="ocamlopt is not installed")
def test_machine_integers_in_ocaml(tmp_path: Path) -> None:
    shutil.copy(PROOFS / "tight/uint63.ml", tmp_path)
    (tmp_path / "driver.ml").write_text(DRIVER)
    build = ["ocamlopt", "uint63.ml", "driver.ml", "-o", "driver"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True)
    rng = random.Random(0)
    edges = [0, 1, 2, 62, 63, 64, 2**31, 2**62 - 1, 2**62, 2**62 + 1, 2**63 - 2, 2**63 - 1]
    pairs = [(x, y) for x in edges for y in edges]
    pairs += [(rng.getrandbits(rng.randint(1, 63)), rng.getrandbits(rng.randint(1, 63)))
              for _ in range(2000)]  # fmt: skip
    asked = [(op, x, y) for op in EXACT for x, y in pairs]

    def signed(x: int) -> int:
        return x - 2**63 if x >= 2**62 else x

    lines = "".join(f"{op} {signed(x)} {signed(y)}\n" for op, x, y in asked)
    ran = subprocess.run(
        [tmp_path / "driver"], input=lines, capture_output=True, text=True, check=True
    )
    for (op, x, y), line in zip(asked, ran.stdout.splitlines(), strict=True):
        high, low = (int(word) % 2**63 for word in line.split())
        assert high << 63 | low == EXACT[op](x, y), (op, x, y)
