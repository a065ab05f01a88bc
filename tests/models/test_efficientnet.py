"""EfficientNet-B0 against timm's own: every tensor, and every number that comes out."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lastbit.errors import ModelError, OutputError
from lastbit.float32 import execute, execute_float64
from lastbit.graph import Add, BatchNorm, Gate, Linear, Network, Silu, read_onnx
from lastbit.models.efficientnet import BLOCKS, random_state, state_shapes
from lastbit.models.export import export_efficientnet, folded, on_grid
from lastbit.runtimes import OnnxRuntime
from lastbit_check.arithmetic.exact import from_float
from support.vision import loaded

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def timm() -> Iterator:
    with loaded():
        yield pytest.importorskip("timm")


@pytest.fixture(scope="module")
def reference(timm):
    """timm's network in float64 with the weights of `random_state(0)`."""
    network = timm.create_model("efficientnet_b0", in_chans=1, num_classes=10)
    tensors = {name: torch.from_numpy(array) for name, array in random_state(0).items()}
    missing, surplus = network.load_state_dict(tensors, strict=False)
    assert surplus == []
    assert all(name.endswith("num_batches_tracked") for name in missing)
    return network.double().eval()


@pytest.fixture(scope="module", params=[False, True], ids=["batch norm", "folded"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("b0") / "model.onnx"
    return export_efficientnet(random_state(0), path, fold_batch_norm=request.param)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    images = np.random.default_rng(5).integers(0, 256, (4, 1, 28, 28), dtype=np.uint8)
    images[0] = 0
    images[1] = 255
    return images


def test_state_dict_is_timms_own(timm):
    network = timm.create_model("efficientnet_b0", in_chans=1, num_classes=10)
    theirs = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert list(state_shapes().items()) == list(theirs.items())
    assert sum(parameter.numel() for parameter in network.parameters()) == 4_019_782


def test_table_1():
    assert len(BLOCKS) == 16
    assert [block.name for block in BLOCKS if block.residual] == [
        *("blocks.1.1", "blocks.2.1", "blocks.3.1", "blocks.3.2", "blocks.4.1", "blocks.4.2"),
        *("blocks.5.1", "blocks.5.2", "blocks.5.3"),
    ]


def timm_probabilities(reference, images: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return torch.softmax(reference(torch.from_numpy(images).double() / 255), 1).numpy()


def test_export_is_timms_network(reference, model: Path, images: np.ndarray):
    """In float64 the normal form of the exported file gives timm's numbers.

    Without folding only epsilon differs (1e-5 in float32, by 2.5e-8 of itself). Folding rounds
    each weight once: 2^-24 relative in each of some 80 layers.
    """
    network = read_onnx(model)
    has_batch_norm = any(isinstance(node, BatchNorm) for node in network)
    bound = 1e-10 if has_batch_norm else 80 * 2.0**-24
    expected = timm_probabilities(reference, images)
    for image, theirs in zip(images, expected, strict=True):
        assert abs(execute_float64(network, image)[0] - theirs).max() < bound


def test_runtimes_agree_with_timm(reference, model: Path, images: np.ndarray):
    """ONNX Runtime and the executor, in float32, are near timm in float64.

    Each of some 80 layers has a relative error of a few 2^-24 of its own sum; 2^-17 leaves a
    factor of one and a half for each layer.
    """
    got = OnnxRuntime().probabilities(model, images)
    expected = timm_probabilities(reference, images)
    assert np.ptp(expected, axis=0).max() > 2.0**-10  # or else anything would agree
    assert abs(got - expected).max() < 2.0**-17
    network = read_onnx(model)
    for image, theirs in zip(images, expected, strict=True):
        assert abs(execute(network, image) - theirs).max() < 2.0**-17


def count(network: Network, kind: type) -> int:
    return sum(isinstance(node, kind) for node in network)


def test_normal_form(model: Path):
    network = read_onnx(model)
    assert network.input_shape == (1, 28, 28)
    assert count(network, Gate) == 16
    assert count(network, Add) == 9
    assert count(network, Silu) == 1 + 16 + 15 + 16 + 1
    assert count(network, Linear) == 1 + (3 * 16 - 1) + 2 * 16 + 1 + 1
    assert network.logits == "classifier"


def test_export_is_deterministic(model: Path, tmp_path: Path):
    fold = not any(isinstance(node, BatchNorm) for node in read_onnx(model))
    again = export_efficientnet(random_state(0), tmp_path / "again.onnx", fold_batch_norm=fold)
    assert again.read_bytes() == model.read_bytes()


def test_folding_rounds_once():
    random = np.random.default_rng(0)
    weight = random.normal(size=(4, 3, 3, 3)).astype(np.float32)
    gamma, beta, mean, variance = random.uniform(0.5, 2, (4, 4)).astype(np.float32)
    scaled, shift = folded(weight, gamma, beta, mean, variance)
    factor = gamma.astype(np.float64) / np.sqrt(variance.astype(np.float64) + 1e-5)
    exact = weight * factor[:, None, None, None]
    assert (abs(scaled - exact) <= 2.0**-24 * abs(exact)).all()
    assert scaled.dtype == shift.dtype == np.float32


@pytest.mark.parametrize("bits", [3, 12, 20])
def test_weights_on_a_grid_are_the_checkers_integers(bits: int):
    random = np.random.default_rng(bits)
    for largest in (1.0, 0.7, 1 - 2.0**-24, 3e-5):
        weight = random.uniform(-largest, largest, (6, 5, 3, 3)).astype(np.float32)
        weight[0, 0, 0, 0] = largest
        rounded = on_grid(weight, bits)
        core, inexact = from_float(rounded, 20)
        assert not inexact.any() and (np.ldexp(core.n, -core.e) == rounded).all()
        unit = 2.0 ** (np.frexp(abs(rounded).max())[1] - bits)
        assert (abs(rounded.astype(np.float64) - weight) <= unit / 2).all()
        assert len(np.unique(rounded)) <= 2 * 2**bits + 1
    assert (on_grid(weight, 24) == weight).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bn1.bias": None}, "bn1.bias is missing"),
        ({"bn9.bias": np.zeros(3, np.float32)}, "bn9.bias is not a tensor"),
        ({"bn1.bias": np.zeros(3, np.float32)}, r"bn1.bias has shape \(3,\), not \(32,\)"),
        ({"bn1.bias": np.zeros(32)}, "bn1.bias is float64"),
        ({"bn1.bias": np.full(32, np.nan, np.float32)}, "bn1.bias holds NaN"),
    ],
)
def test_wrong_state_dicts_are_refused(tmp_path: Path, change: dict, message: str):
    state = random_state(0) | change
    state = {name: array for name, array in state.items() if array is not None}
    with pytest.raises(ModelError, match=message):
        export_efficientnet(state, tmp_path / "model.onnx", fold_batch_norm=False)
    assert list(tmp_path.iterdir()) == []


def test_unwritable_output(tmp_path: Path):
    with pytest.raises(OutputError, match="cannot write"):
        export_efficientnet(random_state(0), tmp_path / "no" / "m.onnx", fold_batch_norm=True)
