"""Checkpoints of timm and torchvision: what is written is the network that PyTorch runs."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from lastbit.cli import main
from lastbit.errors import LastbitError, MissingExtraError, ModelError, PlatformError, UsageError
from lastbit.graph import read_onnx, with_inputs
from lastbit.importing import import_checkpoint, read_checkpoint
from lastbit.runtimes.onnx_runtime import session_of
from support.vision import loaded

torch = pytest.importorskip("torch")
nn: Any = torch.nn
TINY = "timm:test_efficientnet"


@pytest.fixture(scope="module", autouse=True)
def libraries() -> Iterator[None]:
    with loaded():
        yield


def module_of(name: str, channels: int = 3, classes: int = 10) -> Any:
    """A network with batch norms that have seen images."""
    import timm
    import torchvision

    torch.manual_seed(0)
    library, _, short = name.partition(":")
    if library == "timm":
        module = timm.create_model(short, in_chans=channels, num_classes=classes)
    else:
        module = torchvision.models.get_model(short, weights=None, num_classes=classes)
    norms: list[Any] = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.5, 1.5)
    return module.eval()


def saved(module: Any, path: Path) -> Path:
    from safetensors.torch import save_file

    if path.suffix == ".safetensors":
        save_file(module.state_dict(), path)
    else:
        torch.save(module.state_dict(), path)
    return path


def is_it(path: Path, module: Any, shape: tuple[int, ...]) -> None:
    """ONNX Runtime computes of the file what PyTorch computes of the module."""
    images = np.random.default_rng(1).random((3, *shape), np.float32)
    with torch.inference_mode():
        expected = module(torch.from_numpy(images)).numpy()
    (found,) = session_of(str(path), "all").run(None, {"x": images})
    assert np.abs(expected).max() > 1e-3
    assert np.abs(np.asarray(found) - expected).max() <= 1e-4 * np.abs(expected).max()


CASES = {
    "timm's, safetensors": (TINY, "a.safetensors", 1, (28, 20)),
    "timm's ResNet, state dict": ("timm:test_resnet", "a.pt", 3, (32, 32)),
    "torchvision's": ("torchvision:shufflenet_v2_x0_5", "a.pth", 3, (32, 32)),
}


@pytest.mark.parametrize("case", CASES)
def test_the_file_computes_what_pytorch_computes(tmp_path: Path, case: str) -> None:
    name, file, channels, size = CASES[case]
    module = module_of(name, channels)
    source = saved(module, tmp_path / file)
    made = import_checkpoint(source, name.partition(":")[2], tmp_path / "m.onnx", size=size)
    assert made.architecture == name
    assert made.shape == (channels, *size)
    assert made.classes == 10
    assert made.apart is not None and made.apart < 1e-4
    is_it(made.path, module, made.shape)
    content = made.path.read_bytes()
    assert made.sha256 == hashlib.sha256(content).hexdigest()
    about = {entry.key: entry.value for entry in onnx.load(made.path).metadata_props}
    assert about["lastbit.source.sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert about["lastbit.source.architecture"].startswith(f"{name} ")
    network = read_onnx(with_inputs(made.path, made.pixels))
    assert network.input_shape == made.shape


@pytest.mark.slow
@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_efficientnet_b0(tmp_path: Path, library: str) -> None:
    module = module_of(f"{library}:efficientnet_b0")
    source = saved(module, tmp_path / "b0.safetensors")
    made = import_checkpoint(source, "efficientnet_b0", tmp_path / "m.onnx", size=(32, 32))
    assert made.architecture == f"{library}:efficientnet_b0"
    assert made.pixels == "mean=0.485:0.456:0.406,std=0.229:0.224:0.225"
    is_it(made.path, module, (3, 32, 32))


def test_first_and_last_layer_are_those_of_the_checkpoint(tmp_path: Path) -> None:
    """torchvision's networks take no number of channels; the checkpoint has another."""
    module = module_of("torchvision:mobilenet_v3_small", classes=4)
    module.features[0][0] = nn.Conv2d(1, 16, 3, 2, 1, bias=False)
    source = saved(module, tmp_path / "a.pt")
    made = import_checkpoint(source, "mobilenet_v3_small", tmp_path / "m.onnx", size=(28, 28))
    assert (made.shape, made.classes, made.pixels) == ((1, 28, 28), 4, "unit")
    is_it(made.path, module, made.shape)


@pytest.mark.parametrize("within", ["state_dict", "model", None])
def test_state_dicts_as_training_scripts_keep_them(tmp_path: Path, within: str | None) -> None:
    tensors = {"a.weight": torch.zeros(2), "b.bias": torch.ones(1)}
    wrapped = {f"module._orig_mod.{name}": value for name, value in tensors.items()}
    path = tmp_path / "a.pth"
    torch.save({within: wrapped, "epoch": 3} if within else wrapped, path)
    found = read_checkpoint(path)
    assert [*found.tensors] == [*tensors]
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_all_that_does_not_fit_is_said_at_once(tmp_path: Path) -> None:
    module = module_of(TINY)
    tensors = module.state_dict()
    first, *_, last = tensors
    changed = {**tensors, "new.one": torch.zeros(1), "new.two": torch.zeros(1)}
    del changed[first], changed[last]
    changed["bn1.weight"] = torch.ones(3)
    changed["bn1.bias"] = changed["bn1.bias"].half()
    changed["bn1.running_mean"] = torch.full_like(changed["bn1.running_mean"], float("nan"))
    torch.save(changed, tmp_path / "a.pt")
    with pytest.raises(ModelError) as caught:
        import_checkpoint(tmp_path / "a.pt", TINY, tmp_path / "m.onnx")
    said = str(caught.value)
    for part in (
        f"is not a {TINY}: 2 missing: {first}, {last}; 2 not of it: new.one, new.two; ",
        "1 of another shape: bn1.weight (3,), not (",
        "1 not float32: bn1.bias torch.float16",
        "1 NaN or infinite: bn1.running_mean",
        "give the --arch that it was saved from",
    ):
        assert part in said
    assert not (tmp_path / "m.onnx").exists()


def test_the_library_that_fits_best_is_the_one_that_is_meant(tmp_path: Path) -> None:
    module = module_of("torchvision:efficientnet_b0")
    tensors = {**module.state_dict(), "mine": torch.zeros(1)}
    torch.save(tensors, tmp_path / "a.pt")
    with pytest.raises(ModelError, match=r"torchvision:efficientnet_b0: 1 not of it: mine"):
        import_checkpoint(tmp_path / "a.pt", "efficientnet_b0", tmp_path / "m.onnx")


class Harmful:
    """Its pickle would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_checkpoint_is_never_run(tmp_path: Path) -> None:
    torch.save({"a": Harmful(tmp_path / "harmed")}, tmp_path / "a.pt")
    with pytest.raises(ModelError, match="nothing else is read"):
        read_checkpoint(tmp_path / "a.pt")
    assert not (tmp_path / "harmed").exists()


def content_of(value: Any, folder: Path) -> bytes:
    torch.save(value, folder / "content")
    return (folder / "content").read_bytes()


BROKEN: dict[str, tuple[str, Any, str]] = {
    "nothing": ("a.pt", b"", "not what PyTorch saved"),
    "text": ("a.pth", b"hello", "not what PyTorch saved"),
    "no safetensors": ("a.safetensors", b"hello world, I am none", "not a safetensors file"),
    "a list": ("a.pt", [torch.zeros(1)], "no tensors by name, but list"),
    "an empty dict": ("a.pt", {}, "no tensors by name, but dict"),
    "numbers": ("a.pt", {"a": 1, "b": torch.zeros(1)}, "no tensor, under the names a"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_checkpoint(tmp_path: Path, case: str) -> None:
    file, value, message = BROKEN[case]
    content = value if isinstance(value, bytes) else content_of(value, tmp_path)
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ModelError, match=message):
        read_checkpoint(tmp_path / file)


def test_a_file_that_is_cut(tmp_path: Path) -> None:
    for name in ("a.pt", "a.safetensors"):
        path = saved(nn.Linear(40, 40), tmp_path / name)
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(ModelError, match="not"):
            read_checkpoint(path)
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        read_checkpoint(tmp_path / "none.pt")


def test_names_that_are_none(tmp_path: Path) -> None:
    source = saved(nn.Linear(2, 2), tmp_path / "a.pt")
    for name, message in (
        ("efficientnet_bo", "did you mean efficientnet_b"),
        ("keras:x", "use one of timm:NAME, torchvision:NAME"),
        ("timm:zzzzzzzzzz", "timm.list_models"),
    ):
        with pytest.raises(UsageError, match=message):
            import_checkpoint(source, name, tmp_path / "m.onnx")


def test_a_checkpoint_of_two_libraries(tmp_path: Path) -> None:
    """timm's and torchvision's ResNet-18 have tensors of the same names and shapes."""
    source = saved(module_of("torchvision:resnet18"), tmp_path / "a.pt")
    said = "--arch timm:resnet18 or --arch torchvision:resnet18"
    with pytest.raises(UsageError, match=said):
        import_checkpoint(source, "resnet18", tmp_path / "m.onnx")


def test_a_size_that_the_network_does_not_work_on(tmp_path: Path) -> None:
    source = saved(module_of("torchvision:squeezenet1_1"), tmp_path / "a.pt")
    with pytest.raises(ModelError, match=r"on images of 4 x 4.*--size"):
        import_checkpoint(source, "torchvision:squeezenet1_1", tmp_path / "m.onnx", size=(4, 4))


def test_a_network_that_is_not_covered(tmp_path: Path) -> None:
    """The reasons are those of every file, and the checkpoint is named."""
    source = saved(module_of("timm:test_vit"), tmp_path / "a.pt")
    with pytest.raises(ModelError, match=r"unsupported operators: .*a\.pt"):
        import_checkpoint(source, "timm:test_vit", tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize(("file", "module"), [("a.safetensors", "safetensors"), ("a.pt", "torch")])
def test_extras_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, module: str
) -> None:
    source = saved(nn.Linear(2, 2), tmp_path / file)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match="the extra 'import'"):
        read_checkpoint(source)


def test_libraries_that_are_missing_or_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = saved(nn.Linear(2, 2), tmp_path / "a.pt")
    output = tmp_path / "m.onnx"

    def broken(name: str) -> None:
        raise RuntimeError(f"operator {name}::nms does not exist")

    monkeypatch.setattr("lastbit.importing.architecture.importlib.import_module", broken)
    with pytest.raises(PlatformError, match="do not go together: operator torch::nms"):
        import_checkpoint(source, "resnet18", output)
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match="the extra 'import'"):
        import_checkpoint(source, "resnet18", output)


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, output = saved(module_of(TINY, 1), tmp_path / "a.safetensors"), tmp_path / "m.onnx"
    order = ["import", str(source), "--arch", TINY, "--size", "16", "--output", str(output)]
    assert main([*order, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["image"] == [1, 16, 16]
    assert said["source"]["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert main(order) == 0
    assert f"lastbit prove {output} --pixels unit" in capsys.readouterr().out


def test_what_pytorch_cannot_export(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Its exporter prints the whole graph from C++; standard output has one object all the same."""
    source, output = saved(module_of("timm:test_vit"), tmp_path / "a.pt"), tmp_path / "m.onnx"
    order = ["import", str(source), "--arch", "timm:test_vit", "--size", "64", "--json"]
    assert main([*order, "--output", str(output)]) == 2
    said, errors = capfd.readouterr()
    assert "upsample_bicubic2d_aa" in json.loads(said)["error"]["message"]
    assert len(errors.splitlines()) == 1
    assert not output.exists()


WRONG = {
    "no architecture": (["a.pt"], "say with --arch which it is"),
    "an output of a checkpoint": (["a.pt", "--arch", TINY, "--keep", "y"], "leave --keep out"),
    "an architecture of a file": (["a.onnx", "--arch", TINY], "are for checkpoints"),
    "a size of no numbers": (["a.pt", "--arch", TINY, "--size", "28xx"], "--size 28x28"),
    "a size of nothing": (["a.pt", "--arch", TINY, "--size", "0"], "--size 28x28"),
    "itself": (["m.onnx"], "would replace the source"),
}


@pytest.mark.parametrize("case", WRONG)
def test_options_that_go_with_something_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    (source, *options), message = WRONG[case]
    for name in ("a.pt", "a.onnx", "m.onnx"):
        (tmp_path / name).write_bytes(b"untouched")
    order = ["import", str(tmp_path / source), *options, "--output", str(tmp_path / "m.onnx")]
    assert main(order) == 2
    assert message in capsys.readouterr().err
    assert (tmp_path / "m.onnx").read_bytes() == b"untouched"


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    source = saved(module_of(TINY, 1), tmp_path / "a.pt")
    with pytest.raises(LastbitError, match="cannot write"):
        import_checkpoint(source, TINY, tmp_path / "nowhere" / "m.onnx", size=(16, 16))
