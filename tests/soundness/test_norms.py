"""Certified operator norms: never below the true one, and no claim below it is believed."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lastbit.graph import Network, OnnxBuilder, flip_last_bit
from lastbit.hints.adjoint import matrix
from lastbit.methods import norms
from lastbit.methods.norms import MARGIN, gain, norm, root, spectral
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.check import network_in
from lastbit_check.network import Part
from lastbit_check.operators.kernels import Products
from lastbit_check.operators.layers import layer_of
from lastbit_check.verdict import Rejected
from soundness.harness import built, subject_of
from support.planted import plant


class One:
    """A convolution on an image of 6 x 5, as the checker sees it."""

    def __init__(self, folder: Path, weight: np.ndarray, **options: object) -> None:
        group = options.get("group", 1)
        assert isinstance(group, int)
        b = OnnxBuilder()
        x = b.input_bytes((weight.shape[1] * group, 6, 5))
        x = b.conv(x, weight, name="it", **options)  # type: ignore[arg-type]
        b.softmax(b.dense(b.mean(x), np.ones((2, len(weight)))))
        model, self.network = built(b, folder)
        form = network_in(model)
        node, self.source = form.by_name["it"], form.input.shape
        assert node.sum is not None
        self.part: Part = node.sum.parts[0]
        self.made: Products = layer_of(node, {n.name: n.shape for n in form.nodes}).parts[0]
        self.shape = node.shape

    @property
    def gain(self) -> Fraction:
        return gain(self.made, self.part)


def true_norm(network: Network) -> float:
    return float(np.linalg.norm(matrix(network["it"], network.input_shape), 2))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("shape", [(3, 5), (8, 8), (12, 4), (1, 7), (6, 1)])
def test_a_claim_just_above_is_accepted_and_just_below_rejected(
    tmp_path: Path, shape: tuple[int, int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=shape) * 10.0 ** rng.integers(-6, 6)
    if seed % 2:  # of low rank, so that s^2 I - A^T A is singular where it matters
        weight = np.outer(weight[:, 0], weight[0])
    one = One(tmp_path, weight[:, :, None, None])
    size = true_norm(one.network)
    assert size <= float(one.gain) <= size * 1.01
    if shape[1] > 1:
        core = one.made.kernel[:, :, 0, 0]
        assert np.count_nonzero(core) == core.size == weight.size
        assert size <= float(spectral(one.made, core, size * MARGIN)) <= size * 1.01
        for claim in (size * (1 - 1e-5), size * 0.5):
            with pytest.raises(Rejected) as caught:
                spectral(one.made, core, claim)
            assert caught.value.rule == "norm.spectral"


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": (2, 1), "padding": (1, 0, 2, 1)},
        {"group": 2, "padding": 1},
        {"group": 4, "stride": 2},
    ],
)
def test_no_gain_is_below_the_true_norm(
    tmp_path: Path, options: dict[str, object], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    group = int(options.get("group", 1))  # type: ignore[call-overload]
    weight = rng.normal(size=(4, 4 // group, 3, 2))
    weight *= rng.choice([1e-5, 1.0, 1e5, 0.0], weight.shape) if seed % 2 else 1
    one = One(tmp_path, weight, **options)
    assert true_norm(one.network) <= float(one.gain) * (1 + 1e-12)


def test_root_and_norm_are_upper_bounds() -> None:
    rng = np.random.default_rng(0)
    for value in (Fraction(0), Fraction(2), Fraction(1, 3), Fraction(2) ** 301, Fraction(1, 7**90)):
        assert root(value) ** 2 >= value
    for count in (1, 5, 300, 20000):
        n = rng.integers(-(2**44), 2**44, (2, count), dtype=np.int64)
        exact = sum(int(v) ** 2 for v in n.reshape(-1))
        assert norm(Fix(n.astype(np.float64), 0)) ** 2 >= exact


def test_a_norm_of_many_entries_is_exact() -> None:
    """80,000 squares of 2^19 - 1 in one row: their sum passes 2^53, and is odd on the way."""
    n = np.full((1, 80_000), 2.0**19 - 1)
    assert norm(Fix(n, 0)) ** 2 >= 80_000 * (2**19 - 1) ** 2


def spread_of_planted(folder: Path, seed: int) -> tuple[Fraction, Fraction]:
    """How far a planted pair moves a difference of logits, and what the method says of it."""
    one = plant(seed)
    model, network = built(one.builder, folder)
    row, column = one.pixel
    images = one.image, flip_last_bit(one.image, row, column)
    subject = subject_of(model, network)
    z = [subject.run(image, {})[network.logits].ravel() for image in images]
    return Fraction(float(np.ptp(z[1] - z[0]))), subject.norms.bound()


@pytest.mark.parametrize(("count", "least"), [(12, 1), pytest.param(40, 3, marks=pytest.mark.slow)])
def test_no_planted_pair_moves_the_logits_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, least: int
) -> None:
    """And operator norms a third too small would be noticed."""
    pairs = [spread_of_planted(tmp_path, seed) for seed in range(count)]
    assert all(spread <= bound for spread, bound in pairs)
    monkeypatch.setattr(norms, "gain", lambda *arguments: gain(*arguments) * Fraction(2, 3))
    pairs = [spread_of_planted(tmp_path, seed) for seed in range(count)]
    assert sum(spread > bound for spread, bound in pairs) >= least
