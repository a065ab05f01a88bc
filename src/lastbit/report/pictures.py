"""Pictures as data: PNGs without a library, and the geometry of what SVG draws."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lastbit.report.contents import Bracket, Layer, Map
from lastbit.witness.files import Witness
from lastbit_check.question import Box

HEAT = (214, 80, 18)
"""The colour of large numbers; small ones are transparent, so that light and dark pages do."""
AROUND = 3
"""Pixels on each side of the one that is magnified."""
STEP, HEIGHT, ARC = 12, 90, 40
"""Of the graph: how far nodes are apart, how high its bars are, and its highest arc."""


def png(pixels: NDArray[np.uint8]) -> str:
    """A picture (H, W), grey, or (H, W, 4), with opacity, as a data URI."""
    height, width = pixels.shape[:2]
    kind = 6 if pixels.ndim == 3 else 0
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    chunks = (b"IHDR", head), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")
    made = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    return "data:image/png;base64," + base64.b64encode(made).decode("ascii")


def picture(image: NDArray[Any], box: Box | None) -> str:
    """An image (C, H, W) of bytes, or of numbers in a box, as a data URI; of channels the mean."""
    grey = image.astype(np.float64).mean(axis=0)
    if box:
        grey = 255 * (grey - box.low) / (box.high - box.low)
    return png(np.clip(np.rint(grey), 0, 255).astype(np.uint8))


def heat(map_: Map) -> str:
    """A map as a picture: the larger a number, the less transparent its pixel."""
    known = np.where(np.isfinite(map_.values), map_.values, 0.0)
    most = float(known.max(initial=0.0))
    opacity = np.rint(255 * known / most) if most > 0 else np.zeros(known.shape)
    pixels = np.zeros((*known.shape, 4), np.uint8)
    pixels[..., :3], pixels[..., 3] = HEAT, opacity.astype(np.uint8)
    return png(pixels)


@dataclass(frozen=True, eq=False)
class Pair:
    """The two images of a witness, and what is around the first pixel that differs.

    ``cells`` are (column, row, grey level 0..255, text, whether it is the pixel), of each image.
    """

    width: int
    height: int
    row: int
    column: int
    images: tuple[str, str]
    cells: tuple[list[tuple[int, int, int, str, bool]], ...]
    bytes: tuple[str, str]


def pair_of(witness: Witness) -> Pair:
    """Both images as pictures, and the pixels around the first that differs.

    Of several channels the mean is drawn.
    """
    (height, width), (row, column) = witness.image.shape[-2:], witness.pixel
    planes, box = witness.pair.reshape(2, -1, height, width), witness.question.box
    grey, alone = planes.astype(np.float64).mean(axis=1), planes.shape[1] == 1
    if box:
        grey = 255 * (grey - box.low) / (box.high - box.low)
    levels = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
    written = [
        [", ".join(map(repr, pixel)) for pixel in image.reshape(-1, height * width).T.tolist()]
        for image in planes
    ]
    cells = tuple(
        [
            (x, y, int(levels[k, y, x]), written[k][y * width + x] if alone and not box else "",
             (y, x) == (row, column))
            for y in range(max(0, row - AROUND), min(height, row + AROUND + 1))
            for x in range(max(0, column - AROUND), min(width, column + AROUND + 1))
        ]
        for k in range(2)
    )  # fmt: skip
    place = row * width + column
    images = png(levels[0]), png(levels[1])
    return Pair(width, height, row, column, images, cells, (written[0][place], written[1][place]))


def axis_end(brackets: Sequence[Bracket]) -> float:
    """Where a scale from 0 ends: the least of 1, 0.5, 0.2, 0.1, ... that no U but 1 exceeds."""
    known = [b.upper for b in brackets if 0 < b.upper < 1]
    if not known:
        return 1.0
    ends = (float(f"{m}e-{k}") for k in range(300, -1, -1) for m in (1, 2, 5))
    return next((end for end in ends if end >= max(known)), 1.0)


@dataclass(frozen=True)
class Drawn:
    """A node of the graph: its place, and the heights of its bars, from 0 to 1."""

    layer: Layer
    x: int
    share: float
    size: float
    noise: float


@dataclass(frozen=True)
class Graph:
    """Nodes in a row, and the paths of arcs from what is read to what reads it."""

    width: int
    nodes: tuple[Drawn, ...]
    arcs: tuple[str, ...]


def graph_of(layers: Sequence[Layer]) -> Graph:
    """Nodes in the order of the network. Bars of sizes and of roundings have logarithmic scales."""
    at = {layer.name: STEP // 2 + STEP * k for k, layer in enumerate(layers)}
    most = max((layer.added for layer in layers), default=0.0)
    sizes = _logarithmic([max(abs(n.low or 0.0), abs(n.high or 0.0)) for n in layers])
    noises = _logarithmic([n.noise or 0.0 for n in layers])
    share = [layer.added / most if 0 < most < math.inf else 0.0 for layer in layers]
    nodes = tuple(
        Drawn(layer, at[layer.name], s, size, noise)
        for layer, s, size, noise in zip(layers, share, sizes, noises, strict=True)
    )
    arcs = [
        _arc(at[name], at[layer.name]) for layer in layers for name in layer.inputs if name in at
    ]
    return Graph(STEP * len(layers), nodes, (*arcs,))


def _arc(start: int, end: int) -> str:
    """Straight to the next node, and over the others in between."""
    rise = 0 if end - start <= STEP else min(ARC, 6 + (end - start) // 6)
    return f"M{start} 0Q{(start + end) / 2:g} {-2 * rise} {end} 0"


def _logarithmic(values: Sequence[float]) -> list[float]:
    """Heights from 0.05, of the least positive number, to 1, of the largest; 0 for 0."""
    logs = [math.log(v) for v in values if 0 < v < math.inf]
    if not logs:
        return [0.0] * len(values)
    least, most = min(logs), max(logs)
    span = (most - least) or 1.0
    return [
        0.0 if v <= 0 else 1.0 if v == math.inf else 0.05 + 0.95 * (math.log(v) - least) / span
        for v in values
    ]
