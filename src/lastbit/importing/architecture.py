"""Architectures by name, as timm and torchvision define them, for the tensors of a checkpoint."""

from __future__ import annotations

import difflib
import importlib
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lastbit.errors import MissingExtraError, ModelError, PlatformError, UsageError
from lastbit.importing.checkpoint import Checkpoint

COUNTER = "num_batches_tracked"
"""A buffer of batch norms that inference does not read."""
Colours = tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Architecture:
    """A network as a library defines it, with the channels and classes of a checkpoint.

    Attributes:
        name: `timm:NAME` or `torchvision:NAME`.
        version: of the library.
        module: PyTorch's.
        channels: of an image.
        size: height and width of the images that the library's own weights are for.
        mean: by which the library makes pixels of such images, after division by 255.
        std: likewise.
    """

    name: str
    version: str
    module: Any
    channels: int
    size: tuple[int, int]
    mean: Colours
    std: Colours


def fitted(name: str, checkpoint: Checkpoint) -> Architecture:
    """The architecture of that name with the checkpoint's weights, in evaluation mode.

    Args:
        name: `efficientnet_b0`, or `timm:efficientnet_b0` or `torchvision:efficientnet_b0`. Without
            a library it is that whose names of tensors the checkpoint has.
        checkpoint: what holds the weights.

    Raises:
        UsageError: there is no such architecture; or both libraries' fit, and none is named.
        ModelError: tensors are missing, surplus, of another shape or type, or not finite.
        MissingExtraError: neither library is installed.
        PlatformError: one is, and cannot be loaded.
    """
    library, _, short = name.rpartition(":")
    if library and library not in LIBRARIES:
        raise UsageError(f"there is no library {library!r}", where="--arch", fix=_libraries())
    _installed()
    names = [library] if library else [*LIBRARIES]
    tried = [made for one in names if (made := LIBRARIES[one](short, checkpoint.tensors))]
    if not tried:
        raise UsageError(f"there is no architecture {name!r}", where="--arch", fix=_near(short))
    problems = [_problems(one.module.state_dict(), checkpoint.tensors) for one in tried]
    amounts = [sum(map(len, found.values())) for found in problems]
    fitting = [one for one, amount in zip(tried, amounts, strict=True) if not amount]
    if len(fitting) > 1:
        both = " or ".join(f"--arch {one.name}" for one in fitting)
        raise UsageError(f"the tensors fit {len(fitting)} architectures called {short!r}",
                         where=str(checkpoint.path), fix=f"say which: {both}")  # fmt: skip
    if not fitting:
        least = amounts.index(min(amounts))
        said = (
            f"{len(names)} {kind}: {', '.join(names)}"
            for kind, names in problems[least].items()
            if names
        )
        raise ModelError(
            f"the checkpoint is not a {tried[least].name}: {'; '.join(said)}",
            where=str(checkpoint.path),
            fix="give the --arch that it was saved from",
        )
    fitting[0].module.load_state_dict(checkpoint.tensors, strict=False)
    fitting[0].module.eval()
    return fitting[0]


def _installed() -> None:
    """Load both libraries: timm needs torchvision, and both the PyTorch they were built for."""
    try:
        for name in ("torch", *LIBRARIES):
            importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError("importing a checkpoint", "import") from error
    except (RuntimeError, OSError) as error:
        raise PlatformError(
            f"PyTorch and torchvision do not go together: {error}",
            fix="install both from one source, in one command",
        ) from error


def _libraries() -> str:
    return f"use one of {', '.join(f'{name}:NAME' for name in LIBRARIES)}"


def _near(name: str) -> str:
    import timm
    import torchvision

    classifiers = torchvision.models.list_models(module=torchvision.models)
    known = {*timm.list_models(), *classifiers}
    near = difflib.get_close_matches(name, sorted(known), 5)
    return f"did you mean {', '.join(near)}?" if near else "timm.list_models() lists them"


def _from_timm(name: str, tensors: Mapping[str, Any]) -> Architecture | None:
    import timm

    if not timm.is_model(name):
        return None
    config = timm.models.get_pretrained_cfg(name) or timm.models.PretrainedCfg()
    first, last = (_weight(tensors, layer) for layer in (config.first_conv, config.classifier))
    said: dict[str, Any] = {}
    if first is not None:
        said["in_chans"] = first.shape[1]
    if last is not None:
        said["num_classes"] = last.shape[0]
    module = timm.create_model(name, pretrained=False, **said)
    channels, height, width = config.input_size
    channels = said.get("in_chans", channels)
    return Architecture(f"timm:{name}", timm.__version__, module, channels, (height, width),
                        config.mean, config.std)  # fmt: skip


def _from_torchvision(name: str, tensors: Mapping[str, Any]) -> Architecture | None:
    import torchvision
    from torch import nn

    models = torchvision.models
    if name not in models.list_models(module=models):
        return None
    module = _quietly(lambda: models.get_model(name, weights=None))
    layers = [key for key, layer in module.named_modules()
              if isinstance(layer, (nn.Conv2d, nn.Linear))]  # fmt: skip
    last = _weight(tensors, layers[-1])
    if last is not None and last.shape[0] != module.state_dict()[f"{layers[-1]}.weight"].shape[0]:
        module = _quietly(lambda: models.get_model(name, weights=None, num_classes=last.shape[0]))
    first = _weight(tensors, layers[0])
    conv = module.get_submodule(layers[0])
    if first is not None and first.ndim == 4 and first.shape[1] != conv.in_channels:
        parent, _, own = layers[0].rpartition(".")
        new = nn.Conv2d(first.shape[1], conv.out_channels, conv.kernel_size, conv.stride,
                        conv.padding, conv.dilation, bias=conv.bias is not None)  # fmt: skip
        setattr(module.get_submodule(parent), own, new)
        conv = new
    made = models.get_model_weights(name).DEFAULT.transforms()  # type: ignore[attr-defined]
    (size,) = made.crop_size
    return Architecture(f"torchvision:{name}", torchvision.__version__, module, conv.in_channels,
                        (size, size), (*made.mean,), (*made.std,))  # fmt: skip


LIBRARIES: Mapping[str, Callable[[str, Mapping[str, Any]], Architecture | None]] = {
    "timm": _from_timm,
    "torchvision": _from_torchvision,
}


def _weight(tensors: Mapping[str, Any], layer: str | Iterable[str] | None) -> Any:
    """The checkpoint's weight of a layer, or of the first of several; None if it has none."""
    names = [layer] if isinstance(layer, str) else [*(layer or ())]
    found = tensors.get(f"{names[0]}.weight") if names else None
    return found if found is not None and found.ndim > 1 else None


def _quietly(make: Callable[[], Any]) -> Any:
    """What is made, without what libraries say of initial weights: they are all replaced."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make()


def _problems(wanted: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, list[str]]:
    """What keeps the tensors from being those of a module, by kind, every one by its name."""
    by_kind: dict[str, list[str]] = {"missing": [], "not of it": [], "of another shape": [],
                                     "not float32": [], "NaN or infinite": []}  # fmt: skip
    for name, like in wanted.items():
        if name not in given:
            if not name.endswith(COUNTER):
                by_kind["missing"].append(name)
            continue
        value, shape = given[name], tuple(like.shape)
        if tuple(value.shape) != shape:
            by_kind["of another shape"].append(f"{name} {tuple(value.shape)}, not {shape}")
        elif value.dtype != like.dtype:
            by_kind["not float32"].append(f"{name} {value.dtype}")
        elif value.is_floating_point() and not value.isfinite().all():
            by_kind["NaN or infinite"].append(name)
    by_kind["not of it"] += [name for name in given if name not in wanted]
    return by_kind
