"""The whole EfficientNet-B0 that is written out computes what its live part computes."""

import math
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from lastbit.graph import Gate, Linear, Network, Sigmoid, Silu, read_onnx
from lastbit.models.export import export_efficientnet
from lastbit.questions.absorbing import absorbed_node
from lastbit.training import bound
from lastbit.training.bound import UNIT_ROUNDOFF, Core
from lastbit.training.full import full_state
from lastbit.training.network import LiveNetwork, SqueezeExcite
from lastbit.training.recipe import Recipe
from training.small import random_images, random_network, small_recipe

pytestmark = pytest.mark.slow

TIGHT = small_recipe("tight")
PLAIN = small_recipe("plain")
FOLDING = pytest.mark.parametrize("fold", [False, True], ids=["batch norm", "folded"])


def exported(network: LiveNetwork, recipe: Recipe, folder: Path, *, fold: bool) -> Path:
    state, path = full_state(network, recipe.activation_range), folder / "model.onnx"
    return export_efficientnet(
        state, path, fold_batch_norm=fold, fold_pixels=fold and recipe.fold_pixels
    )


def onnx_values(model: Path, names: list[str], images: NDArray[np.uint8]) -> list[NDArray]:
    """What ONNX Runtime returns for the images, then the values with these names."""
    content = onnx.load(str(model))
    content.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        content.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    outputs = session.run(None, {session.get_inputs()[0].name: images})
    return [np.asarray(output) for output in outputs]


def live_logits(network: LiveNetwork, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """In float64."""
    with torch.inference_mode():
        return network.double()(torch.from_numpy(images).double() / 255).numpy()


def pairs(logits: NDArray) -> NDArray[np.float64]:
    """All differences of two logits (N, 45)."""
    i, j = np.triu_indices(logits.shape[1], 1)
    return logits[:, i].astype(np.float64) - logits[:, j].astype(np.float64)


def one_run(network: LiveNetwork, activation_range: float) -> NDArray[np.float64]:
    """How far a float32 run of the written network may be from the live one (45,).

    `Core.rounding` bounds to first order what roundings do in two runs. This is one run: the other
    half pays for rounding a weight when batch norm is folded into it, or for its own two operations
    when it is not. What is not rounding
    is curvature: with |t| <= r = `activation_range`, 2 silu(t) differs from t, and 2 sigmoid(t)
    from 1, by at most r / 2 in relative terms. So each counts as r / 2u more roundings, besides the
    11 that a SiLU and a gate make where they do round.
    """
    curves = 2 * round(activation_range / 2 / UNIT_ROUNDOFF) + 11
    steps = bound.steps
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(bound, "steps", lambda weight, bias: steps(weight, bias) + curves)
        core = Core(network)
        return core.rounding(core.magnitudes()).double().numpy()


@FOLDING
@pytest.mark.parametrize("activation_range", [2.0**-14, 2.0**-40])
def test_a_linear_trunk_is_written_as_it_is(tmp_path: Path, fold: bool, activation_range: float):
    """The recipe's gate is 2 sigmoid(2^-24 s): 1 to float precision, in both networks."""
    changes = {"activation_range": activation_range, "gate_scale": 2.0**-24}
    recipe = small_recipe("tight", copies=(), **changes)
    network = random_network(recipe, 1)
    model = exported(network, recipe, tmp_path, fold=fold)
    images = random_images(6, 1)
    probabilities, logits = onnx_values(model, ["classifier"], images)
    allowed = one_run(network, activation_range)
    live = live_logits(network, images)
    assert (abs(pairs(logits) - pairs(live)) <= allowed).all()
    if activation_range < UNIT_ROUNDOFF:  # or else anything would agree
        assert np.ptp(pairs(live), axis=0).max() > 4 * allowed.max()
    # In a typical case 48 almost linear SiLUs in turn, each curved by 2^-15, do less than 2^-9.
    assert abs(logits - live).max() <= 2.0**-9 * abs(live).max()
    shifted = np.exp(live - live.max(1, keepdims=True))
    softmax = shifted / shifted.sum(1, keepdims=True)
    # A softmax moves by at most a quarter of the largest change of a difference of logits.
    assert (abs(probabilities - softmax) <= allowed.max() / 4).all()


def test_layers_that_copy_are_written_as_powers_of_two(tmp_path: Path):
    """And as nothing else: a product with one is exact, and there is no bias to add."""
    copies = ("blocks.[1-6].*.conv_pw", "blocks.4.0.*", "blocks.6.0.*", "conv_head")
    recipe = small_recipe("tight", copies=copies)
    network = random_network(recipe, 2)
    state = full_state(network, recipe.activation_range)
    model = export_efficientnet(
        state, tmp_path / "model.onnx", fold_batch_norm=True, weight_bits=20
    )
    images = random_images(3, 2)
    _, logits = onnx_values(model, ["classifier"], images)
    live = live_logits(network, images)
    assert abs(logits - live).max() <= 2.0**-14 * abs(live).max()
    written = read_onnx(model)
    found = [
        node
        for node in written
        if isinstance(node, Linear)
        and any(fnmatchcase(node.name, pattern) for pattern in recipe.copies)
        and ".se." not in node.name
    ]
    assert len(found) == 15 + 2 + 2 + 1
    for node in found:
        weight = node.weight[node.weight != 0]
        assert (np.frexp(weight)[0] == 0.5).all() and not node.bias.any()
        assert (np.count_nonzero(node.weight, axis=(1, 2, 3)) <= 1).all()


def test_layers_without_a_bias_and_pixels_that_are_not_divided(tmp_path: Path):
    """A term less in each of these sums, and a rounding less of each pixel."""
    recipe = small_recipe("tight", unshifted=("*.[1-9].conv_pwl",), fold_pixels=True)
    network = random_network(recipe, 2)
    written = read_onnx(exported(network, recipe, tmp_path, fold=True))
    linear = [node for node in written if isinstance(node, Linear) and ".se." not in node.name]
    bare = [node for node in linear
            if any(fnmatchcase(node.name, pattern) for pattern in recipe.unshifted)]  # fmt: skip
    assert len(bare) == 9 and not any(node.bias.any() for node in bare)
    assert sum(node.bias.any() for node in linear) > 9
    stem = next(node for node in linear if node.name == "conv_stem")
    assert stem.x == written.nodes[0].name
    divided = read_onnx(exported(network, replace(recipe, fold_pixels=False), tmp_path, fold=True))
    whole = divided["conv_stem"]
    assert isinstance(whole, Linear) and whole.x == "pixels"
    assert np.allclose(stem.weight * 255, whole.weight, rtol=2.0**-22)


@FOLDING
def test_every_tensor_of_a_linear_trunk_matters_to_its_last_bits(tmp_path: Path, fold: bool):
    """Typical errors, not worst ones: some 80 layers with a few 2^-24 each, of random sign, and
    SiLUs linear to 2^-41. 2^-15 of the largest logit leaves a factor of 6 a layer; a misplaced
    factor or a forgotten mean shows at once."""
    recipe = small_recipe("tight", activation_range=2.0**-40)
    for seed in range(2):
        network = random_network(recipe, seed)
        model = exported(network, recipe, tmp_path, fold=fold)
        images = random_images(4, seed)
        _, logits = onnx_values(model, ["classifier"], images)
        live = live_logits(network, images)
        assert abs(logits - live).max() <= 2.0**-15 * abs(live).max()


@pytest.mark.parametrize("absorb", [False, True])
def test_live_blocks_and_layers_that_absorb_are_written_as_they_are(tmp_path: Path, absorb: bool):
    """Where the layers absorb, the live network reads 128 levels, and the written one all bytes."""
    recipe = small_recipe("zero", absorb=absorb, batch_norm_epochs=1, epochs=1)
    network = random_network(recipe, 4)
    model = exported(network, recipe, tmp_path, fold=True)
    images = random_images(6, 4)
    _, logits = onnx_values(model, ["classifier"], images)
    live = live_logits(network, images)
    assert np.ptp(live, axis=0).max() > 2.0**-11 * abs(live).max()
    assert abs(logits - live).max() <= 2.0**-15 * abs(live).max()
    other = images ^ np.random.default_rng(0).integers(0, 2, images.shape, dtype=np.uint8)
    assert np.array_equal(onnx_values(model, [], other)[0], onnx_values(model, [], images)[0]) == (
        absorb
    )
    assert absorbed_node(model.read_bytes()) == ("conv_stem" if absorb else "")


@pytest.mark.parametrize("live", [2, 4])
def test_the_trunk_s_ranges_hold_after_live_blocks(live: int, tmp_path: Path):
    """The scale of the almost linear SiLUs comes from them: no image may leave the range."""
    recipe = small_recipe("tight", absorb=True, live_blocks=live, bound_weight=0.0)
    network = random_network(recipe, 5)
    model = exported(network, recipe, tmp_path, fold=True)
    nodes = read_onnx(model)
    straight = [n for n in nodes if isinstance(n, Silu) and n.x.startswith("blocks.")
                and n.x.split(".")[1:3] > [f"{live // 2}", "0"] and ".se." not in n.x]  # fmt: skip
    assert len(straight) == 2 * (16 - live)
    images = random_images(20, 5)
    for values in onnx_values(model, [n.x for n in straight], images)[1:]:
        assert 0 < abs(values).max() <= recipe.activation_range


def test_a_branch_that_ends_in_a_copy_is_written_as_it_is(tmp_path: Path):
    """A copy is one from the start: `residual_gain` does not scale it."""
    recipe = small_recipe("tight", copies=("blocks.1.1.*",), live_blocks=4, bound_weight=0.0)
    network = random_network(recipe, 6)
    model = exported(network, recipe, tmp_path, fold=True)
    images = random_images(6, 6)
    _, logits = onnx_values(model, ["classifier"], images)
    live = live_logits(network, images)
    assert abs(logits - live).max() <= 2.0**-12 * abs(live).max()


@FOLDING
def test_an_ordinary_trunk_is_written_as_it_is(tmp_path: Path, fold: bool):
    """Gates at full strength. As above, 2^-15 of the largest logit."""
    network = random_network(PLAIN, 2)
    model = exported(network, PLAIN, tmp_path, fold=fold)
    images = random_images(6, 2)
    _, logits = onnx_values(model, ["classifier"], images)
    live = live_logits(network, images)
    assert np.ptp(live, axis=0).max() > 2.0**-6 * abs(live).max()
    assert abs(logits - live).max() <= 2.0**-15 * abs(live).max()


def test_gates_of_a_linear_trunk_read_what_the_live_gates_read(tmp_path: Path):
    """Up to a power of two per gate, which is at most the recipe's `gate_scale`.

    They see the images through almost linear SiLUs, each curved by at most 2^-15: 48 of them in
    turn change a value by less than 2^-9 of the largest.
    """
    recipe = small_recipe("tight", gate_scale=1.0)
    network = random_network(recipe, 3)
    state = full_state(network, recipe.activation_range)
    gates: dict[str, NDArray] = {}
    for block in network.live_blocks():
        name = f"{block.layout.name}.se.conv_expand"
        live = block.se.conv_expand.weight.detach().numpy()
        written = state[f"{name}.weight"][: live.shape[0], : live.shape[1]]
        scale = float(written.flat[0]) / float(live.flat[0])
        assert math.frexp(scale)[0] == 0.5 and scale <= recipe.gate_scale
        block.se.scale = scale

        def keep(layer: SqueezeExcite, inputs: object, output: object, name: str = name) -> None:
            (x,) = inputs  # pyright: ignore[reportGeneralTypeIssues]
            s = torch.nn.functional.silu(layer.conv_reduce(x.mean((2, 3), keepdim=True)))
            gates[name] = (layer.scale * layer.conv_expand(s)).numpy()

        block.se.register_forward_hook(keep)
    model = exported(random_network(recipe, 3), recipe, tmp_path, fold=True)
    images = random_images(5, 3)
    live_logits(network, images)
    _, *found = onnx_values(model, list(gates), images)
    for name, values in zip(gates, found, strict=True):
        live = gates[name]
        dead = values[:, live.shape[1] :]
        assert not dead.any(), name
        assert abs(values[:, : live.shape[1]] - live).max() <= 2.0**-9 * abs(live).max(), name
        assert abs(values).max() <= recipe.activation_range, name


def sources(network: Network, kind: type[Silu | Sigmoid]) -> dict[str, str]:
    """Of each node of a kind, what it reads."""
    return {node.name: node.x for node in network if isinstance(node, kind)}


@FOLDING
def test_almost_linear_silus_and_gates_stay_in_the_activation_range(tmp_path: Path, fold: bool):
    """All SiLUs but the two before the trunk and those inside squeeze-and-excite."""
    network = random_network(TIGHT, 4)
    model = exported(network, TIGHT, tmp_path, fold=fold)
    graph = read_onnx(model)
    ordinary = {"stem", "blocks.0.0.filtered"}
    silus = sources(graph, Silu)
    assert ordinary <= set(silus)
    watched = [
        read
        for name, read in silus.items()
        if name not in ordinary and not name.endswith("squeezed")
    ]
    assert len(watched) == 15 + 15 + 1
    gates = {node.s for node in graph if isinstance(node, Gate)}
    sigmoids = [read for name, read in sources(graph, Sigmoid).items() if name in gates]
    assert len(sigmoids) == 16
    images = random_images(12, 4)
    _, *values = onnx_values(model, [*watched, *sigmoids], images)
    for name, value in zip([*watched, *sigmoids], values, strict=True):
        assert abs(value).max() <= TIGHT.activation_range, name
        assert name in sigmoids or abs(value).max() > TIGHT.activation_range / 2**10, name


@pytest.mark.parametrize("recipe", [TIGHT, PLAIN], ids=["tight", "plain"])
def test_dead_channels_are_exactly_zero(tmp_path: Path, recipe: Recipe):
    network = random_network(recipe, 5)
    graph = read_onnx(exported(network, recipe, tmp_path, fold=True))
    always_live = ("conv_stem", "blocks.0.0.conv_dw", "blocks.0.0.se.conv_expand", "classifier")
    for node in graph:
        if isinstance(node, Linear):
            dead = ~node.weight.reshape(len(node.weight), -1).any(1)
            assert not node.bias[dead].any(), node.name
            assert dead.any() == (node.name not in always_live), node.name
