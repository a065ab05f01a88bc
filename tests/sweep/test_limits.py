"""Limits hold for softmax as runtimes compute it, and are not far above what is attained."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lastbit.data import ImageSet
from lastbit.graph import read_onnx
from lastbit.models.shipped import resolve_model
from lastbit.progress import silent
from lastbit.sweep import no_limits, run as running
from lastbit.sweep.changes import NONE, changes, exceeds, largest, may_beat
from lastbit.sweep.everywhere import limits_everywhere, stored_certificate
from lastbit.sweep.limits import (
    EXPONENTIALS,
    MOST,
    Absorbed,
    Everywhere,
    Nothing,
    changes_within,
    restored,
    saved,
)
from soundness.small import certified
from support.seeds import seeds
from support.swept import images_at, random_images, swept

Real = NDArray[np.float64]


def softmax(logits: NDArray[np.float32], random: np.random.Generator, *, rough: bool) -> NDArray:
    """In binary32; roughly: exponentials off by 2^-20, any order, quotients by reciprocal."""
    t = logits - logits.max()
    powers = np.exp(t)
    if rough:
        powers *= np.float32(1) + random.choice([-1, 1], len(t)).astype(np.float32) * np.float32(
            2.0**-20
        )
        powers[powers < 2.0**-126] = 0
    order = random.permutation(len(t))
    whole = np.float32(0)
    for k in order:
        whole += powers[k]
    return powers * (np.float32(1) / whole) if rough else powers / whole


def moved(random: np.random.Generator, bounds: Real, logits: Real) -> Real:
    """Logits whose differences move by at most ``bounds`` (classes, classes), some by all of it."""
    shift = random.choice([-0.5, 0.5, 0.0], len(logits)) * bounds.min()
    c = int(random.integers(len(logits)))
    if random.random() < 0.5:
        shift = random.choice([-1, 1]) * bounds[c] * 0.5  # others against one
        shift[c] = -shift[(c + 1) % len(shift)]
    apart = np.abs(shift[:, None] - shift)
    worst = (apart / np.where(bounds > 0, bounds, 1)).max()
    return logits + shift / max(1.0, worst)


@pytest.mark.parametrize("seed", seeds(3, 30))
def test_no_softmax_changes_by_more(seed: int) -> None:
    random = np.random.default_rng(seed)
    closest = 0.0
    for _ in range(200):
        classes = int(random.integers(2, 12))
        wide = random.choice([0.0, 1e-3, 0.1, 1.0, 5.0]) * random.uniform(
            0.2, 1, (classes, classes)
        )
        bounds = np.triu(wide, 1) + np.triu(wide, 1).T
        logits = random.normal(size=classes) * random.choice([0.0, 1.0, 10.0, 60.0])
        # what the move of logits in binary32 really is, is what their bound has to be of
        before = logits.astype(np.float32)
        after = moved(random, bounds, before.astype(float)).astype(np.float32)
        apart = (after.astype(float) - before)[:, None] - (after.astype(float) - before)
        bounds = np.maximum(bounds, np.abs(apart))
        rough = bool(random.integers(2))
        p, q = (softmax(z, random, rough=rough) for z in (before, after))
        k, j = np.triu_indices(classes, 1)
        limits = Everywhere(bounds[k, j][:, None], np.stack([k, j], 1), "")
        (limit,) = limits.of(np.empty((1, 1, 1, 1)), p[None])[0]
        high, low = changes(p, q)
        for change in zip(high, low, strict=True):
            assert not exceeds(type(NONE)(*change), limit), (seed, p, q, limit)
        closest = max(closest, float((high / limit).max()))
    assert closest > 0.8


def test_a_limit_that_is_too_small_is_exceeded() -> None:
    """With rates a little smaller some change is larger."""
    p = np.array([[0.5, 0.5]], np.float32)
    z = np.array([0.5, -0.5], np.float32)
    after = np.exp(z - z.max()) / np.exp(z - z.max()).sum(dtype=np.float32)
    move = np.array([[[0.0], [1.0]], [[1.0], [0.0]]])
    change = float(abs(after[0] - p[0, 0]))
    right = changes_within(p, np.expm1(move + EXPONENTIALS), -np.expm1(-move - EXPONENTIALS))
    less = changes_within(p, 0.99 * np.expm1(move), -0.99 * np.expm1(-move))
    assert less[0, 0] < change <= right[0, 0] < change * 1.4


def test_where_logits_move_far_the_limit_is_1() -> None:
    p = np.array([[1.0, 0.0]], np.float32)
    limits = Everywhere(np.array([[MOST * 2, 0.25]]), np.array([[0, 1]]), "")
    found = limits.of(np.empty((1, 1, 1, 2)), p)
    assert found[0, 0] == 1 and found[0, 1] < 2.0**-10


def test_what_is_kept_is_what_was_saved() -> None:
    everywhere = Everywhere(np.array([[0.5, 1.5]]), np.array([[0, 1]]), "a certificate")
    for limits in (everywhere, Absorbed(4, "stem"), Nothing(3, "why not")):
        found = restored(saved(limits))
        assert found is not None and found.says == limits.says and type(found) is type(limits)
    again = restored(saved(everywhere))
    assert isinstance(again, Everywhere)
    assert again.bounds.tolist() == everywhere.bounds.tolist()
    assert restored(b"") is None and restored(saved(everywhere)[:-9]) is None


def test_limits_are_kept_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = resolve_model(certified(tmp_path) / "model.onnx")
    network = read_onnx(files.asked)
    certificate = stored_certificate(files, network)
    assert 0 < certificate.upper["same-program"] < 1
    first = limits_everywhere(files, network, certificate, tmp_path, silent)
    monkeypatch.setattr("lastbit.sweep.everywhere._derived", lambda *_: pytest.fail("derived"))
    again = limits_everywhere(files, network, certificate, tmp_path, silent)
    assert first.says == again.says and certificate.sha256[:12] in first.says


def test_a_change_beyond_its_limit_refutes(tmp_path: Path) -> None:
    """A limit of almost nothing excludes nearly everything; what is run all the same tells."""
    model = certified(tmp_path) / "model.onnx"
    images: ImageSet = images_at(tmp_path / "i.npy", resolve_model(model), random_images(2, 6))

    class Small(Nothing):
        def of(self, images: NDArray, probabilities: NDArray[np.float32]) -> Real:
            return np.full((len(images), self.places), 1e-12)

    found = swept(tmp_path / "s", images, model, limits=lambda *_: Small(36, "nothing"))
    assert found.verdict == "refuted" and found.refuted is not None
    assert found.answer()["refuted"]["change"] > 1e-12


def test_what_an_earlier_run_has_left_is_held_against_limits(tmp_path: Path) -> None:
    model = certified(tmp_path) / "model.onnx"
    images = images_at(tmp_path / "i.npy", resolve_model(model), random_images(2, 6))
    first = swept(tmp_path / "s", images, model, limits=no_limits)
    assert swept(tmp_path / "s", images, model).verdict == "swept"

    class Small(Nothing):
        def of(self, images: NDArray, probabilities: NDArray[np.float32]) -> Real:
            return np.full((len(images), self.places), first.largest[1].change.high)

    found = swept(tmp_path / "s", images, model, limits=lambda *_: Small(36, "nothing"))
    assert found.executions == found.resumed and found.verdict == "refuted"
    assert found.refuted == first.largest[0]


def test_a_change_above_the_certificates_u_refutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = certified(tmp_path) / "model.onnx"
    images = images_at(tmp_path / "i.npy", resolve_model(model), random_images(2, 6))
    right = swept(tmp_path / "s", images, model)
    assert right.verdict == "swept" and right.refuted is None
    stored = running.stored_certificate

    def smaller(*given):
        found = stored(*given)
        found.manifest["claim"]["same-program"]["upper"] = right.largest[0].change.high / 2
        return found

    monkeypatch.setattr(running, "stored_certificate", smaller)
    wrong = swept(tmp_path / "s", images, model)
    assert wrong.verdict == "refuted" and wrong.refuted == right.largest[0]


@pytest.mark.parametrize("seed", seeds(3, 20))
def test_changes_are_exact(seed: int) -> None:
    random = np.random.default_rng(seed)
    scale = 2.0 ** random.uniform(-140, 0, 500)
    a, b = ((random.uniform(0, 1, 500) * scale).astype(np.float32) for _ in range(2))
    a[:50] = random.uniform(0, 1, 50)
    high, low = changes(a, b)
    exact = [abs(Fraction(float(y)) - Fraction(float(x))) for x, y in zip(a, b, strict=True)]
    assert exact == [Fraction(x) + Fraction(y) for x, y in zip(high, low, strict=True)]
    assert np.any(low)
    order = sorted(range(500), key=lambda k: (high[k], low[k]))
    assert [exact[k] for k in order] == sorted(exact)
    rows = largest(a.reshape(50, 10), b.reshape(50, 10))
    assert all(exact[10 * k + j] == max(exact[10 * k : 10 * k + 10]) for k, j in enumerate(rows))
    held = Fraction(high[0]) + Fraction(low[0])
    near = np.array([high[0], np.nextafter(high[0], 0), np.nextafter(high[0], 1)])
    for ahead in (False, True):
        expected = [Fraction(x) > held or (Fraction(x) == held and ahead) for x in near]
        assert may_beat(near, high[0], low[0], ahead).tolist() == expected
