"""What a proof and a check take of EfficientNets with ordinary weights, as their images grow.

    python bench/scaling.py [B0@28 B0@64 B0@224 B4@64 ...] [--classes N] [--gain G] [--memory 16GiB]

Each network is made here: timm's widths and depths, three channels of bytes, random weights with
batch norms folded, as exporters write it. Their deviation is half (--gain) of what He's rule has:
with more the ranges of the deepest leave binary32, and the proof ends there. For each one
`lastbit prove`, which checks as well, and `lastbit-check` run in processes of their own, with one
thread: CPU time and the most memory of each, beside what was estimated from shapes alone, and the
size of the certificate. Below stand the exponents of time and memory, by the number of places of an
image.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lastbit.graph import OnnxBuilder
from lastbit.models.efficientnet import HEAD_CHANNELS, STAGES, STEM_CHANNELS, Stage

ROOT = Path(__file__).resolve().parents[1]
WIDTH_DEPTH = {"B0": (1.0, 1.0), "B1": (1.0, 1.1), "B2": (1.1, 1.2), "B3": (1.2, 1.4),
               "B4": (1.4, 1.8), "B5": (1.6, 2.2), "B6": (1.8, 2.6), "B7": (2.0, 3.1)}  # fmt: skip
GAIN = 0.5
"""Of the weights, in deviations by He's rule."""
F32 = NDArray[np.float32]


def channels(count: float) -> int:
    """The nearest multiple of 8 that is not smaller by more than a tenth, as timm rounds."""
    rounded = max(8, int(count + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * count else rounded + 8


def stages(variant: str) -> Iterator[Stage]:
    """The stages of a variant."""
    width, depth = WIDTH_DEPTH[variant]
    for stage in STAGES:
        wide, often = channels(stage.channels * width), math.ceil(stage.repeats * depth)
        yield replace(stage, channels=wide, repeats=often)


@dataclass
class Maker:
    """An EfficientNet of random weights, layer by layer."""

    b: OnnxBuilder
    random: np.random.Generator
    gain: float

    def conv(self, x: str, shape: tuple[int, int, int, int], name: str, **how: Any) -> str:
        """A convolution with its batch norm folded: weights (O, I / group, k, k)."""
        deviation = self.gain * math.sqrt(2 / math.prod(shape[1:]))
        weight = self.random.normal(0, deviation, shape)
        weight *= self.random.uniform(0.7, 1.3, (len(weight), 1, 1, 1))
        bias = self.random.normal(0, 0.1, shape[0])
        made: tuple[F32, F32] = weight.astype(np.float32), bias.astype(np.float32)
        return self.b.conv(x, *made, padding=shape[2] // 2, name=name, **how)

    def block(self, x: str, name: str, stage: Stage, inputs: int, stride: int) -> str:
        """A block: expand, filter, squeeze and excite, project, perhaps with a shortcut."""
        b, wide, shortcut = self.b, inputs * stage.expansion, x
        if stage.expansion > 1:
            x = b.silu(self.conv(x, (wide, inputs, 1, 1), f"{name}.expand"))
        kernel = (wide, 1, stage.kernel, stage.kernel)
        x = b.silu(self.conv(x, kernel, f"{name}.filter", stride=stride, group=wide))
        s = b.silu(self.conv(b.mean(x), (inputs // 4, wide, 1, 1), f"{name}.squeeze"))
        s = b.sigmoid(self.conv(s, (wide, inputs // 4, 1, 1), f"{name}.excite"))
        x = self.conv(b.gate(x, s), (stage.channels, wide, 1, 1), f"{name}.project")
        return b.add(x, shortcut) if (stride, inputs) == (1, stage.channels) else x


def network(variant: str, size: int, classes: int, gain: float = GAIN) -> bytes:
    """An ONNX file that reads 3 x size x size bytes and returns probabilities."""
    width, maker = WIDTH_DEPTH[variant][0], Maker(OnnxBuilder(), np.random.default_rng(0), gain)
    b, inputs = maker.b, channels(STEM_CHANNELS * width)
    x = b.div(b.input_bytes((3, size, size)), 255.0)
    x = b.silu(maker.conv(x, (inputs, 3, 3, 3), "stem", stride=2))
    for number, stage in enumerate(stages(variant)):
        for repeat in range(stage.repeats):
            stride = 1 if repeat else stage.stride
            x = maker.block(x, f"{number}.{repeat}", stage, inputs, stride)
            inputs = stage.channels
    head = channels(HEAD_CHANNELS * width)
    x = b.mean(b.silu(maker.conv(x, (head, inputs, 1, 1), "head")))
    weight = maker.random.normal(0, 1 / math.sqrt(head), (classes, head))
    b.softmax(b.dense(x, weight, np.zeros(classes)))
    return b.to_bytes()


@dataclass(frozen=True)
class Run:
    """A process: seconds of CPU time, GiB at most (of the largest process), what it printed."""

    seconds: float
    memory: float
    out: str
    said: str


def run(*command: str) -> Run:
    """Run a module of this checkout, with one thread."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1",
                   "OPENBLAS_NUM_THREADS": "1"}  # fmt: skip
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as said:
        made = subprocess.Popen([sys.executable, "-m", *command], env=environment, stdout=out,
                                stderr=said)  # fmt: skip
        _, _, used = os.wait4(made.pid, 0)
        out.seek(0)
        said.seek(0)
        return Run(used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20, out.read(), said.read())


def measured(
    name: str, classes: int, gain: float, also: tuple[str, ...]
) -> tuple[int, list[str], list[float]]:
    """Places of the image, the cells of a row, and what exponents are fitted to."""
    variant, size = name.split("@")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        (made / "model.onnx").write_bytes(network(variant, int(size), classes, gain))
        proof = run("lastbit", "prove", folder, "--json", *also)
        if not proof.out:
            raise SystemExit(proof.said)
        said = json.loads(proof.out)
        estimate = re.search(r"about ([\d.,]+ [GM]iB)", proof.said)
        cells = [name, said["verdict"], estimate[1] if estimate else "",
                 f"{proof.seconds:,.0f}", f"{proof.memory:.2f}"]  # fmt: skip
        figures = [proof.seconds, proof.memory]
        if said.get("refused"):
            cells += ["", "", "", "{rule} at {node}".format(**said["refused"])]
            return int(size) ** 2, cells, figures
        certificate = made / "certificate.json"
        checked = run("lastbit_check", str(certificate), str(made / "model.onnx"))
        cells += [f"{certificate.stat().st_size / 1024:,.0f}", f"{checked.seconds:,.0f}",
                  f"{checked.memory:.2f}", f"U = {max(said['upper'].values()):.3g}"]  # fmt: skip
    return int(size) ** 2, cells, [*figures, checked.seconds, checked.memory]


def main() -> None:
    """Print a row for each network, and the exponents of each family."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", default=["B0@28", "B0@64"])
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--gain", type=float, default=GAIN, help="of the weights, as He has it")
    parser.add_argument("--memory", help="handed on to `lastbit prove`")
    given = parser.parse_args()
    heads = ["network", "verdict", "estimate of each", "prove and check, CPU s", "GiB",
             "certificate, KiB", "check alone, CPU s", "GiB", "said"]  # fmt: skip
    print(" | ".join(heads))
    found = dict[str, list[tuple[int, list[float]]]]()
    also = ("--memory", given.memory) if given.memory else ()
    for name in given.networks:
        places, cells, figures = measured(name, given.classes, given.gain, also)
        print(" | ".join(cells), flush=True)
        found.setdefault(name.split("@")[0], []).append((places, figures))
    for variant, rows in found.items():
        columns = zip(*(figures for _, figures in rows), strict=False)
        if len(rows) > 1:
            sizes = np.log([places for places, _ in rows])
            fitted = [f"{np.polyfit(sizes, np.log(each), 1)[0]:.2f}" for each in columns]
            print(f"{variant}: exponents by places (time, GiB, check time, GiB):", *fitted)


if __name__ == "__main__":
    main()
