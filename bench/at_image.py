"""What the bound at one image costs as networks grow: in seconds, and in executions of the image.

    python bench/at_image.py [--largest N]

Chains of 3 x 3 convolutions with SiLU, ordinary weights (He's rule), one channel of bytes, ten
classes: one of DEPTH layers, WIDTH channels and SIZE x SIZE places, and others in which one of the
three is doubled, and doubled again. For each: CPU time of the bound at one random image with all of
its neighbours, how many executions of that image by ONNX Runtime (defaults, one thread) take as
long, the most that an execution differs from another, and the exponent of the time by what grew.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lastbit.around.bases import bases_of
from lastbit.graph import OnnxBuilder
from lastbit.runtimes import OnnxRuntime
from lastbit_check.around.at_image import at_image
from lastbit_check.around.images import numbers
from lastbit_check.around.linear import prepared
from lastbit_check.check import network_in
from lastbit_check.question import LAST_BIT
from lastbit_check.verdict import Rejected

EXECUTIONS = 200
"""That are timed."""


@dataclass(frozen=True)
class Chain:
    """So many layers, of so many channels, on so many places a side."""

    depth: int = 4
    width: int = 8
    size: int = 14

    def content(self) -> bytes:
        """The ONNX file."""
        b, random, inputs = OnnxBuilder(), np.random.default_rng(0), 1
        x = b.div(b.input_bytes((1, self.size, self.size)), 255.0)
        for layer in range(self.depth):
            shape = (self.width, inputs, 3, 3)
            weight = random.normal(0, math.sqrt(2 / math.prod(shape[1:])), shape)
            bias = random.normal(0, 0.1, self.width)
            x = b.silu(b.conv(x, weight.astype(np.float32), bias.astype(np.float32), padding=1,
                              name=f"layer{layer}"))  # fmt: skip
            inputs = self.width
        last = random.normal(0, 1 / math.sqrt(inputs), (10, inputs))
        b.softmax(b.dense(b.mean(x), last, np.zeros(10)))
        return b.to_bytes()


@dataclass(frozen=True)
class Cost:
    """CPU seconds of the bound and of an execution; a bound of any two executions' difference."""

    bound: float
    execution: float
    drift: float


def cost(chain: Chain) -> Cost:
    """Of one random image. A bound of 1 says that nothing follows there."""
    content = chain.content()
    image = np.random.default_rng(1).integers(0, 256, (1, chain.size, chain.size), np.uint8)
    known = prepared(network_in(content, LAST_BIT))
    bases = frozenset(bases_of(known))
    start, drift = time.process_time(), 1.0
    try:
        drift = at_image(known, numbers(image), LAST_BIT, bases).drift
    except Rejected as refused:
        print(f"{chain}: {refused}")
    spent = time.process_time() - start
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chain.onnx"
        path.write_bytes(content)
        run = OnnxRuntime().load(path)
        run(image[None])
        start = time.process_time()
        for _ in range(EXECUTIONS):
            run(image[None])
        return Cost(spent, (time.process_time() - start) / EXECUTIONS, drift)


def main() -> None:
    """Print a row for each chain."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--largest", type=int, default=4, help="times what is smallest, at most")
    times = [2**k for k in range(1, parser.parse_args().largest.bit_length())]
    print("depth | width | side | seconds | executions | any two differ by, at most | exponent")
    cost(Chain(1))  # what is loaded once is not counted
    first = Chain()
    base = _row(first, cost(first), "")
    for what in ("depth", "width", "size"):
        for factor in times:
            chain = replace(first, **{what: getattr(first, what) * factor})
            found = cost(chain)
            grown = math.log(found.bound / base.bound) / math.log(factor)
            _row(chain, found, f"{grown:.2f} by {what}")


def _row(chain: Chain, found: Cost, exponent: str) -> Cost:
    cells = [chain.depth, chain.width, chain.size, f"{found.bound:.2f}",
             f"{found.bound / found.execution:,.0f}", f"{found.drift:.2g}", exponent]  # fmt: skip
    print(*cells, sep=" | ", flush=True)
    return found


if __name__ == "__main__":
    main()
