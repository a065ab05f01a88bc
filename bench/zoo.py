"""Which networks of timm and torchvision are read as PyTorch exports them, and why others are not.

    python bench/zoo.py [--size 64] [LIBRARY:NAME ...]

Each has random weights and ten classes, and is exported by PyTorch for images of that size. Of what
is read, logits in float64 are compared with those of ONNX Runtime on one image: `apart` is their
largest distance, by the largest of them. Needs the extra `import`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from lastbit.errors import LastbitError, UnsupportedOperatorError
from lastbit.float32 import execute_float64
from lastbit.graph import Network, pixels, read_onnx, with_inputs
from lastbit.importing import import_checkpoint
from lastbit.runtimes.onnx_runtime import session_of

NAMES = (
    *("resnet10t", "resnet18", "resnet26d", "res2net50_26w_4s", "skresnet18", "cspresnet50"),
    *("efficientnet_b0", "tf_efficientnet_lite0", "mobilenetv2_050", "mobilenetv3_small_050"),
    *("mnasnet_050", "hardcorenas_a", "ghostnet_050", "regnety_002", "repvgg_a0", "dla34"),
    *("ese_vovnet19b_dw", "densenet121", "xception41", "hrnet_w18_small", "convnext_atto"),
    *("fbnetc_100", "rexnet_100", "semnasnet_075", "lcnet_050", "tinynet_e", "mobileone_s0"),
    *("selecsls42b", "edgenext_xx_small", "mobilevit_xxs", "test_vit", "test_resnet"),
)
OF_TORCHVISION = (
    *("efficientnet_b0", "mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_x0_5", "mnasnet0_5"),
    *("resnet18", "squeezenet1_1", "regnet_y_400mf", "densenet121", "googlenet"),
)
ALL = [*(f"timm:{name}" for name in NAMES), *(f"torchvision:{name}" for name in OF_TORCHVISION)]


def made(name: str) -> Any:
    """The network of PyTorch, with batch norms that have seen images."""
    import timm
    import torchvision

    torch.manual_seed(0)
    library, _, short = name.partition(":")
    if library == "timm":
        module = timm.create_model(short, num_classes=10)
    else:
        module = torchvision.models.get_model(short, weights=None, num_classes=10)
    for norm in (m for m in module.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.5, 1.5)
    return module.eval()


def apart(path: Path, network: Network) -> float:
    """How far logits in float64 are from those of ONNX Runtime, by the largest, on one image."""
    image = np.random.default_rng(0).integers(0, 256, network.input_shape, np.uint8)
    session = session_of(str(path), "all")
    given = pixels(image[None], network.question).reshape(1, *network.input_shape)
    (found,) = session.run(None, {session.get_inputs()[0].name: given})
    _, values = execute_float64(network, image)
    expected = values[network.logits].ravel()
    return float(np.abs(np.asarray(found).ravel() - expected).max() / np.abs(expected).max())


def row(name: str, size: int, folder: Path, reasons: Counter[str]) -> tuple[str, ...]:
    """What became of one network."""
    torch.save(made(name).state_dict(), folder / "weights.pt")
    start = time.monotonic()
    try:
        import_checkpoint(folder / "weights.pt", name, folder / "model.onnx", size=(size, size))
    except UnsupportedOperatorError as error:
        kinds = Counter(what for what, _ in error.operators)
        reasons.update({*(what.partition(" ")[0] for what in kinds)})
        said = ", ".join(f"{what} ({count})" for what, count in kinds.most_common())
        return name, "refused", "", f"{time.monotonic() - start:.0f} s", said
    except LastbitError as error:
        reasons["PyTorch's exporter"] += 1
        return name, "refused", "", f"{time.monotonic() - start:.0f} s", error.message
    network = read_onnx(with_inputs(folder / "model.onnx", "unit"))
    far = f"{apart(folder / 'model.onnx', network):.1e}"
    return name, "read", far, f"{time.monotonic() - start:.0f} s", f"{len(network.nodes)} nodes"


def main() -> None:
    """Print a row for each network, and the reasons by count."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=ALL)
    parser.add_argument("--size", type=int, default=64)
    said = parser.parse_args()
    table, reasons, read = Table(box=None), Counter[str](), 0
    for title in ("network", "", "apart", "time", ""):
        table.add_column(title)
    console = Console(width=200)
    with tempfile.TemporaryDirectory() as folder:
        for name in said.names:
            each = row(name, said.size, Path(folder), reasons)
            read += each[1] == "read"
            table.add_row(*each)
            console.print(*each, style="dim", highlight=False)
    console.print(table)
    console.print(f"{read} of {len(said.names)} read. Networks refused, by operator:")
    console.print(", ".join(f"{kind} {count}" for kind, count in reasons.most_common()))


if __name__ == "__main__":
    main()
