"""The checker that Coq proves sound, and lastbit_check: the same verdicts on the same certificates.

They are two programs by two ways: integers over 2^100 in Coq, float64 arrays in Python. Their
bounds differ by what each rounds, and by columns (Coq carries more): they are compared as ratios.
Run `make checker` first; without it the tests are skipped.
"""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lastbit.certificate.coq import literals, on_grid, plain
from lastbit.errors import ModelError
from lastbit.graph import Network, OnnxBuilder, read_onnx
from lastbit.hints import hints_for
from lastbit_check.certificate import Hints
from lastbit_check.check import proved
from lastbit_check.question import ANY_TWO, LAST_BIT

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
CHECKER = ROOT / "build/checker/lastbit-coq-check"
NARROWER, WIDER = 0.99, 1.01  # how far the two bounds may be apart

needs_checker = pytest.mark.skipif(not CHECKER.exists(), reason="make checker was not run")


def model(weights: float = 1.0) -> bytes:
    """Every operator on few units; ``weights`` scales one weight of the stem."""
    rng = np.random.default_rng(7)
    stem = rng.normal(size=(2, 1, 2, 2)) * 0.4
    stem[0, 0, 0, 0] *= weights
    b = OnnxBuilder()
    x = b.affine(b.div(b.input_bytes((1, 3, 3)), 255), "sub", np.float32(0.25))
    x = b.silu(b.conv(x, stem, rng.normal(size=2) * 0.3, stride=2, padding=(1, 1, 0, 0)))
    y = b.silu(b.conv(x, rng.normal(size=(2, 1, 3, 3)) * 0.4, padding=1, group=2))
    s = b.sigmoid(b.conv(b.mean(y), rng.normal(size=(2, 2, 1, 1)), rng.normal(size=2)))
    x = b.mean(b.add(b.gate(y, s), x))
    b.softmax(b.dense(x, rng.normal(size=(2, 2)), rng.normal(size=2)))
    return b.to_bytes()


def network_of(data: bytes, folder: Path) -> Network:
    (folder / "model.onnx").write_bytes(data)
    return read_onnx(folder / "model.onnx")


def verdicts(text: str) -> list[list[str]]:
    ran = subprocess.run(
        [str(CHECKER)], input=text, capture_output=True, text=True, check=True, timeout=600
    )
    return [line.split() for line in ran.stdout.splitlines()]


def upper(text: str) -> float:
    """U of an accepted certificate."""
    verdict, number, _ = verdicts(text)[0]
    assert verdict == "accepted"
    return int(number, 16) / 2.0**100


def python_upper(data: bytes, hints: Hints) -> float:
    """U by lastbit_check, of any two executions."""
    return float(proved(data, LAST_BIT, hints).claims[ANY_TWO].upper)


def mutated(hints: Hints, count: int) -> Iterator[tuple[str, Hints]]:
    """Hints with one slope changed, and with it the dual vectors that both find."""
    random = np.random.default_rng(0)
    for _ in range(count):
        name = str(random.choice(sorted(hints.slopes)))
        n = [*hints.slopes[name]]
        n[random.integers(len(n))] += int(random.integers(-(2**18), 2**18))
        yield f"slope {name}", replace(hints, slopes={**hints.slopes, name: n})


@needs_checker
def test_changed_hints_give_like_bounds(tmp_path: Path) -> None:
    data = model()
    network = network_of(data, tmp_path)
    hints = hints_for(network)
    base = upper(plain(network, hints))
    for what, changed in mutated(hints, 30):
        coq, python = upper(plain(network, changed)), python_upper(data, changed)
        assert NARROWER <= coq / python <= WIDER, (what, coq, python)
        assert coq >= 0.9 * base, what


@needs_checker
def test_changed_weights_give_like_bounds(tmp_path: Path) -> None:
    network = network_of(model(), tmp_path)
    stale = hints_for(network)  # of the unchanged network
    for weights in (0.0, 0.5, 1.5, 4.0, -8.0):
        data = model(weights)
        changed = network_of(data, tmp_path)
        coq, python = upper(plain(changed, stale)), python_upper(data, stale)
        assert NARROWER <= coq / python <= WIDER, (weights, coq, python)


@needs_checker
def test_rows_that_nobody_derived_are_rejected(tmp_path: Path) -> None:
    """Hundreds of certificates with one number lowered, or moved: none is accepted."""
    network = network_of(model(), tmp_path)
    text = plain(network, hints_for(network))
    units = sum(1 for line in text.splitlines() if line.startswith("hint"))
    first = 9  # the pixels come first: they have no rounding
    curved = [u for u in range(1, units + 1) if _slope(text, u)]
    tries = [(u, field, 0) for u in range(1, units + 1) for field in ("rad", "err", "move")]
    tries += [(u, field, 0) for u in range(first + 1, units + 1) for field in ("rho",)]
    tries += [(u, "centre", on_grid(4096.0)) for u in range(1, units + 1)]
    tries += [(u, "dual", on_grid(512.0)) for u in range(1, units + 1)]
    tries += [(u, field, 0) for u in curved for field in ("rest",)]
    tries += [(u, "slope", on_grid(3.0)) for u in curved]
    rows = "".join(f"row {u} {field} {z:x}\n" for u, field, z in tries)
    found = verdicts(text + rows)
    assert found[0][0] == "accepted"
    accepted = [line for line in found[1:] if line[2] != "rejected"]
    # pixels that no change of this pixel reaches have no move for pixel 0 to lower
    assert [line for line in accepted if line[1] != "move"] == []
    assert len(found) > 200
    print(f"{len(found) - 1 - len(accepted)} of {len(found) - 1} changed certificates are rejected")


def _slope(text: str, unit: int) -> bool:
    hints = [line.split() for line in text.splitlines() if line.startswith("hint")]
    return hints[unit - 1][1] != "0"


@needs_checker
def test_too_large_a_value_is_rejected(tmp_path: Path) -> None:
    """Rule finite.values, and the limit of 2^20 of the Coq checker."""
    network = network_of(model(2.0**34), tmp_path)
    assert verdicts(plain(network, hints_for(network)))[0] == ["rejected"]


@needs_checker
def test_the_small_network(capfd: pytest.CaptureFixture[str]) -> None:
    """The bound of `make theorem-small` against that of lastbit_check."""
    folder = ROOT / "proofs/small"
    if not (folder / "network.txt").exists():
        pytest.skip("make theorem-small was not run")
    data = (folder / "small.onnx").read_bytes()
    coq = upper((folder / "network.txt").read_text())
    python = python_upper(data, hints_for(read_onnx(folder / "small.onnx")))
    with capfd.disabled():
        print(f"\nsmall network: U {coq:.9f} by the theorem, {python:.9f} by lastbit_check")
    assert 0.999 * python <= coq <= 1.001 * python


def test_numbers_off_the_grid_and_batch_norm_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="2\\^-100"):
        on_grid(2.0**-101)
    b = OnnxBuilder()
    x = b.batch_norm(b.conv(b.input_bytes((1, 2, 2)), np.ones((1, 1, 2, 2))), *np.ones((4, 1)))
    b.softmax(b.dense(b.mean(x), np.ones((2, 1))))
    network = network_of(b.to_bytes(), tmp_path)
    with pytest.raises(ModelError, match="batch norm"):
        literals(network, Hints({}))


@pytest.mark.parametrize("what", ["shared quotient", "scaled gate", "shared sum"])
def test_what_a_runtime_may_rewrite_otherwise_is_refused(what: str, tmp_path: Path) -> None:
    b = OnnxBuilder()
    x = b.input_bytes((1, 2, 2))
    kernel, bias = np.ones((1, 1, 1, 1)), np.zeros(1)
    if what == "shared quotient":
        x = b.div(x, 3)
        x = b.add(b.silu(b.conv(x, kernel, bias)), b.silu(b.conv(x, kernel, bias)))
    elif what == "scaled gate":
        y = b.silu(b.conv(x, kernel, bias))
        x = b.gate(b.div(y, 3), b.sigmoid(b.conv(b.mean(x), kernel, bias)))
    else:
        x = b.conv(x, kernel, bias)
        x = b.add(b.silu(b.affine(x, "add", np.float32(1))), b.silu(x))
    b.softmax(b.dense(b.mean(x), np.ones((2, 1)), np.zeros(2)))
    with pytest.raises(ModelError, match="the Coq checker has no"):
        literals(network_of(b.to_bytes(), tmp_path), Hints({}))


def test_literals_and_plain_form_hold_the_same_numbers(tmp_path: Path) -> None:
    network = network_of(model(), tmp_path)
    hints = hints_for(network)
    coq, text = literals(network, hints), plain(network, hints)
    assert coq.count("Build_hint") == text.count("hint ")
    (weight,) = re.findall(r" convolution \d+ \d+ -?(\S+)", text)[:1]
    assert f"0x{weight}" in coq
