"""Columns of a base: each step is as near the exact product as it says, |A| radius is no less."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from scipy.sparse import csr_array

from lastbit.graph import OnnxBuilder
from lastbit_check.arithmetic.exact import Fix
from lastbit_check.certificate import Hints
from lastbit_check.check import network_in
from lastbit_check.derive import columns
from lastbit_check.derive.columns import Columns, Held, Spread, dense, spreads
from lastbit_check.derive.frame import frame_of
from lastbit_check.question import LAST_BIT
from soundness.exactly import real
from support.seeds import seeds

Source = tuple[csr_array, int, int, Columns]


def exactly(x: Columns) -> np.ndarray:
    """As fractions."""
    n = x.n.toarray() if isinstance(x.n, csr_array) else x.n
    return np.vectorize(int, otypes=[object])(n) / Fraction(2) ** x.e


def source(random: np.random.Generator, *, heavy: bool, sparse: bool) -> Source:
    """A matrix of 20 bits, and columns of up to 24 in another unit for each source.

    ``heavy``: products may pass 2^53, as far as the largest numbers tell; but these do not meet.
    """
    ins = 2100 if heavy else 6
    w = random.integers(-(2**19), 2**19, (4, ins)).astype(float)
    n = random.integers(-(2**10), 2**10, (ins, 5)).astype(float)
    if heavy:
        n[:] = 0
        n[:3] = random.integers(-40, 41, (3, 5))
        n[-1], w[:, -1] = 2.0**24 - 1, 0
        w[:, :3] = random.integers(-3, 4, (4, 3))
        w[:, 3:-1] = 2.0**19
    else:
        n *= 2.0 ** random.integers(0, 14, n.shape)
    matrix = csr_array(w)
    held = csr_array(n) if sparse else n
    peak = int(np.max(np.abs(n)))
    gain = int(np.max(np.abs(w).sum(axis=1)))
    found = Columns(held, int(random.integers(-20, 20)), 0.0, peak)
    return matrix, int(random.integers(10, 30)), gain, found


def excess(sources: list[Source]) -> float:
    """How far the columns of a node are off, as a share of what they say."""
    made = columns._next(sources)
    exact = sum(
        np.vectorize(int, otypes=[object])(w.toarray()) @ exactly(x) / Fraction(2) ** e
        for w, e, _, x in sources
    )
    off = np.max(np.abs(exactly(made) - exact)) * Fraction(2) ** made.e
    return float(off / Fraction(made.units)) if made.units else float(off > 0) * np.inf


@pytest.mark.parametrize("seed", seeds(10, 20))
def test_a_node_s_columns_are_as_near_as_they_say(seed: int) -> None:
    """One source to three, on grids far apart; some so heavy that a product has to be split."""
    random = np.random.default_rng(seed)
    kinds = [(bool(random.random() < 0.5), bool(random.random() < 0.5))
             for _ in range(int(random.integers(1, 4)))]  # fmt: skip
    sources = [source(random, heavy=heavy, sparse=sparse) for heavy, sparse in kinds]
    assert excess(sources) <= 1


def test_a_unit_of_a_split_product_is_not_taken_for_one_of_a_finer_grid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beside a part on a finer grid the sum is on the coarser one, or says that it is not exact.

    Without saying of a split product that it is off by a unit, some are further off.
    """
    image, shares = columns._image, list[float]()

    def silent(*given: object) -> Columns:
        return image(*given)._replace(units=0.0)  # type: ignore[arg-type]

    for seed in range(5):
        random = np.random.default_rng(seed)
        sources = [source(random, heavy=heavy, sparse=False) for heavy in (True, False)]
        assert excess(sources) <= 1
        with monkeypatch.context() as patch:
            patch.setattr(columns, "_image", silent)
            shares.append(excess(sources))
    assert max(shares) > 1


@pytest.mark.parametrize("chunk", [3, 256])
def test_what_is_summed_is_no_less_than_the_columns_make(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network of sums that read each other, one radius of values and one of two moves."""
    monkeypatch.setattr(columns, "CHUNK", chunk)
    random = np.random.default_rng(0)
    b = OnnxBuilder()
    x = b.conv(b.input_bytes((1, 3, 3)), random.normal(size=(3, 1, 1, 1)), name="base")
    y = b.conv(x, random.normal(size=(4, 3, 2, 2)), name="y")
    z = b.conv(b.silu(y, "s"), random.normal(size=(4, 4, 1, 1)), name="z")
    z = b.affine(b.add(z, y), "mul", np.float32(0.3), name="t")
    b.softmax(b.dense(b.mean(b.add(z, y), name="m"), random.normal(size=(3, 4)), name="logits"))
    hints = Hints({"s": [2**19, 2**18, 3, 0]}, bases=frozenset({"base"}))
    frame = frame_of(network_in(b.to_bytes()), LAST_BIT, hints)
    base = frame.network.by_name["base"]
    after = [n for n in frame.network.computed if n.name in frame.kept_cores(base)]
    radius = [Fix(random.integers(0, 2**22, (27, k)).astype(float), 12 + k) for k in (1, 2)]
    radius[0].n[5], radius[1].n[5] = 0, 0
    found, kept = dict[str, list[Spread]](), {name: list[Held]() for name in ("m", "y")}
    spreads(after, base, frame.kept_cores(base), radius, found, kept)
    exact = {"base": np.eye(27)}
    for node in after:
        cores = frame.cores[node.name]
        found_here = [
            np.ldexp(core.written.toarray(), -core.e) @ exact[core.source] for core in cores
        ]
        exact[node.name] = np.sum(found_here, axis=0)
        for k, x in enumerate(radius):
            true = np.abs(exact[node.name]) @ real(x)
            spread, slack = found[node.name][k]
            said = real(spread).reshape(true.shape)
            assert np.all(true <= (said + real(slack)) * (1 + 2.0**-40))
            assert np.all(said <= true * 1.001 + 2 * np.max(real(slack)))
    live = [k for k in range(27) if k != 5]
    for name, parts in kept.items():
        some = np.concatenate([dense(part) for part in parts], axis=1)
        assert np.allclose(some, exact[name][:, live], rtol=1e-5, atol=1e-6)
