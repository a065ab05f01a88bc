"""Every shipped model: its recipe, its accuracy, its witness and its certificate, replayed."""

import json
from pathlib import Path

import numpy as np
import pytest

from lastbit import api
from lastbit.data import LabelledImages
from lastbit.models.shipped import ModelFiles, shipped_models
from lastbit.progress import silent
from lastbit.runtimes import OnnxRuntime
from lastbit.training import RECIPES, DeepRecipe, recipe_from_json
from lastbit.training.figures import measure
from lastbit.witness.files import read_witness
from lastbit.witness.replay import replay
from lastbit_check.question import ANY_TWO, EXECUTIONS, SAME_PROGRAM

pytestmark = pytest.mark.slow

MODELS = shipped_models()


def test_which_models_are_shipped() -> None:
    assert [files.name for files in MODELS] == ["tight", "one", "plain", "zero"]


@pytest.fixture(params=MODELS, ids=lambda files: files.name)
def files(request: pytest.FixtureRequest) -> ModelFiles:
    return request.param


def test_the_recipe_is_the_one_of_the_command(files: ModelFiles) -> None:
    stored = recipe_from_json(files.recipe.read_bytes())
    assert stored == RECIPES[files.name]


def test_the_accuracy_is_the_stated_one(files: ModelFiles, mnist_test: LabelledImages) -> None:
    stated = json.loads(files.metrics.read_bytes())
    assert stated["sha256"] == files.sha256()
    probabilities = OnnxRuntime().probabilities(files.model, mnist_test.images).astype(np.float64)
    hits = probabilities.argmax(axis=1) == mnist_test.labels
    assert float(hits.mean()) == stated["accuracy"]["test"] >= 0.99
    chosen = probabilities[np.arange(len(hits)), mnist_test.labels]
    if stated["accuracy"]["nll"] is None:
        assert (chosen == 0).any()
    else:
        # another runtime version may round differently: the NLL may move by rounding, not by more
        assert abs(float(-np.log(chosen).mean()) - stated["accuracy"]["nll"]) < 1e-5


LIVE = [files for files in MODELS if isinstance(RECIPES[files.name], DeepRecipe)]


@pytest.mark.parametrize("live", LIVE, ids=lambda files: files.name)
def test_a_live_network_is_as_alive_as_stated(live: ModelFiles, mnist_test: LabelledImages) -> None:
    stated = json.loads(live.metrics.read_bytes())["nonlinearity"]
    found = measure(live.model, mnist_test, silent)["nonlinearity"]
    assert found.keys() == stated.keys() == {"silu", "gate", "residual", "dead"}
    for kind, values in found.items():
        assert values == pytest.approx(stated[kind], rel=1e-3, abs=1e-6)


def test_tight_reads_digits_well() -> None:
    stated = json.loads(MODELS[0].metrics.read_bytes())
    assert stated["accuracy"]["nll"] <= 0.05


def test_the_witness_attains_what_it_states_on_every_runtime(files: ModelFiles) -> None:
    shown = replay(files.model, read_witness(files.witness))
    assert len(shown.changes) == 3
    assert shown.confirmed
    assert (shown.lower > 0) == (files.name != "zero")
    assert shown.witness.apart is None or shown.across >= shown.witness.apart[2]


def test_the_certificate_is_accepted_and_brackets(files: ModelFiles) -> None:
    checked = api.check(files.certificate)
    assert checked.accepted, (checked.rule, checked.node, checked.reason)
    witness, upper = read_witness(files.witness), checked.upper
    assert upper == {name: _claimed(files, name) for name in EXECUTIONS}
    assert witness.lower <= upper[SAME_PROGRAM] <= upper[ANY_TWO] <= 1
    assert witness.apart is not None and witness.lower <= witness.apart[2] <= upper[ANY_TWO]


def _claimed(files: ModelFiles, executions: str) -> float:
    claim = json.loads(files.certificate.read_bytes())["claim"]
    return float.fromhex(claim[executions]["upper"])


def test_no_figure_is_worse_than_it_was(files: ModelFiles) -> None:
    """U, and U/L where there is an L, of both claims; tests/figures.json has what they were."""
    recorded = json.loads((Path(__file__).parent / "figures.json").read_bytes())[files.name]
    witness = read_witness(files.witness)
    assert witness.apart is not None
    lower = {SAME_PROGRAM: witness.lower, ANY_TWO: witness.apart[2]}
    for executions in EXECUTIONS:
        upper, most = _claimed(files, executions), recorded[executions]
        assert upper <= most["upper"], (executions, upper)
        if most["ratio"] is not None:
            assert upper <= most["ratio"] * lower[executions], (executions, upper)
    stated = json.loads(files.metrics.read_bytes())["accuracy"]["test"]
    assert stated >= recorded["accuracy"]


def test_figures_are_recorded_of_what_is_shipped() -> None:
    """And are no looser than a thousandth above what the files say."""
    recorded = json.loads((Path(__file__).parent / "figures.json").read_bytes())
    assert {*recorded} == {files.name for files in MODELS}
    for files in MODELS:
        for executions in EXECUTIONS:
            most = recorded[files.name][executions]["upper"]
            assert most <= _claimed(files, executions) * 1.001, (files.name, executions)


def test_the_certified_accuracy_is_the_stated_one(
    files: ModelFiles, mnist_test: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sample: some images of each kind, and some of those that are said to be undecided.

    The bound at an image, which takes long, decides none of them.
    """
    monkeypatch.setattr(
        "lastbit.questions.accuracy.answers_at", lambda _, __, batch, **___: [None] * len(batch)
    )
    from lastbit.questions.accuracy import certify_accuracy

    if not files.decisions.exists():
        assert files.name in ("one", "plain")  # their roundings have no useful bound
        return
    stated = json.loads(files.decisions.read_bytes())
    assert stated["model"]["sha256"] == files.sha256()
    figures = stated["accuracy"]
    assert figures["certified"] >= 0.99
    count = figures["by_bound"] + figures["by_set"]
    count += len(figures["by_image"]) + len(figures.get("at_image", ()))
    assert figures["certified"] == count / 10_000 == count / figures["images"]
    right = count + len(figures["undecided"])
    assert round(10_000 * figures["test"]) == right
    if "moves" in stated:
        steady = round(10_000 * stated["moves"]["certified"])
        assert steady + len(stated["moves"]["undecided"]) == right and steady >= 0.99 * count
    rest = {*range(60)} - {*figures["by_image"], *figures["undecided"]}
    undecided = figures["undecided"][:3]
    sample = [*sorted(rest)[:9], *figures["by_image"][:3], *undecided]
    found = certify_accuracy(files, mnist_test, images=sample)
    assert [*found.undecided] == undecided
    assert found.certified == found.right - len(undecided)
    assert found.right >= len(sample) - 9
    assert found.by_bound >= 3 or files.name == "zero"


@pytest.mark.slow
def test_the_certificate_at_images_of_plain_is_accepted() -> None:
    """One of its 300 images; all of them are labelled the same by all executions."""
    from lastbit_check.around.images import FORMS, check_images, load_images
    from lastbit_check.certificate import load

    found = [files for files in MODELS if files.name == "plain"]
    folder = found[0].folder / "images"
    manifest = load(folder / "certificate.json", FORMS)
    assert len(manifest["claim"]) == 300
    assert {claim["decided"] for claim in manifest["claim"].values()} == {2}
    images = load_images(folder / "images.npy")
    checked = check_images(found[0].model.read_bytes(), manifest, images, [3])
    assert checked[3].decided == 2 and checked[3].upper < 0.01


def zero() -> ModelFiles:
    """`zero`, if it is there."""
    found = [files for files in MODELS if files.name == "zero"]
    return found[0] if found else pytest.skip("zero is not shipped")


def test_zero_returns_the_same_bits_for_both_images() -> None:
    """The stored pair, and 40 images in which the last bit of every pixel is another one."""
    files = zero()
    shown = replay(files.model, read_witness(files.witness))
    assert len(shown.changes) == 3
    assert {*shown.changes.values()} == {0.0}
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (40, 28, 28), dtype=np.uint8)
    others = images ^ random.integers(0, 2, images.shape, dtype=np.uint8)
    runtime = OnnxRuntime()
    first, second = (runtime.probabilities(files.model, v) for v in (images, others))
    assert np.array_equal(first, second)
    assert len(np.unique(first, axis=0)) > 1


def test_zero_assumes_one_program_that_stores_binary32() -> None:
    stated = json.loads(zero().certificate.read_bytes())
    assert stated["absorbed"] == "conv_stem"
    more = {*stated["assumptions"][SAME_PROGRAM]} - {*stated["assumptions"][ANY_TWO]}
    assert more == {"binary32-values", "deterministic"}


def test_one_is_exactly_1() -> None:
    """L = U = 1: every runtime returns 0 for one image and 1 for the other, to the bit."""
    one = next(files for files in MODELS if files.name == "one")
    witness = read_witness(one.witness)
    shown = replay(one.model, witness)
    assert len(shown.changes) == 3 and set(shown.changes.values()) == {1.0}
    other = witness.image.copy()
    other[witness.pixel] ^= 1
    probabilities = OnnxRuntime().probabilities(one.model, np.stack([witness.image, other]))
    assert sorted(probabilities[:, witness.class_index].tolist()) == [0.0, 1.0]
    assert api.check(one.certificate).upper == dict.fromkeys(EXECUTIONS, 1.0)
