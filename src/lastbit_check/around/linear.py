"""Sums in float64: their weights, what those are off by, how they act on columns.

Map: near-image
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.sparse import csr_array

from lastbit_check.arithmetic.exact import ZERO_GRID, Fix
from lastbit_check.around.binary64 import F64, SURE, V, gamma, real, upper
from lastbit_check.network import F32, Network, Node, Part, Shape, made_of, product
from lastbit_check.operators import KINDS
from lastbit_check.operators.kinds import Kind, Setting
from lastbit_check.operators.layers import layer_of
from lastbit_check.operators.patterns import products, taps_of

SINGLE = 2.0**29  # how much coarser binary32 is
OF_FACTORS = 2.0**-48  # what a factor may be off by, of a product, its roundings included


@dataclass(frozen=True)
class Weights:
    """A part of a sum: its weights (units, units read), each within ``off`` of itself.

    Of a pointwise part ``dense`` (O, I) are the weights that every place has, of slopes unit by
    unit ``diagonal`` (units,) are they; else None. Of a part of a sum ``kernel`` are its weights
    (O, I / groups, kh, kw).
    """

    source: str
    w: csr_array
    off: float
    dense: F64 | None = None
    diagonal: F64 | None = None
    kernel: F64 = field(default_factory=lambda: np.zeros((0, 0, 0, 0)))

    def on(self, x: F64) -> F64:
        """The image of numbers (units read,) or (units read, K)."""
        if self.dense is None or x.ndim == 1:
            return self.w @ x
        rows = x.reshape(self.dense.shape[1], -1)
        return (self.dense @ rows).reshape(self.w.shape[0], x.shape[1])

    def on_columns(self, x: F32) -> F32:
        """The image of columns (units read, K), in binary32."""
        w, dense, diagonal = self._single
        if diagonal is not None:
            return diagonal[:, None] * x
        if dense is None:
            return w @ x
        rows = x.reshape(dense.shape[1], -1)
        return (dense @ rows).reshape(self.w.shape[0], x.shape[1])

    @cached_property
    def _single(self) -> tuple[csr_array, F32 | None, F32 | None]:
        """All of it in binary32."""
        others = [x if x is None else x.astype(np.float32) for x in (self.dense, self.diagonal)]
        return csr_array(self.w.astype(np.float32)), others[0], others[1]

    @cached_property
    def size(self) -> csr_array:
        """Upper bounds of the magnitudes of the true weights."""
        return abs(self.w) * (1 + self.off)

    @cached_property
    def heaviest(self) -> float:
        """No row of them adds up to more, in magnitude."""
        return float(np.max(self.size @ np.ones(self.w.shape[1]), initial=0.0)) * SURE

    @cached_property
    def back(self) -> csr_array:
        """Transposed."""
        return csr_array(self.w.T)

    @cached_property
    def size_back(self) -> csr_array:
        """The magnitudes transposed."""
        return csr_array(self.size.T)


@dataclass(frozen=True)
class Sums:
    """A sum: its parts, what is added to them (units,), and what that is off by."""

    parts: tuple[Weights, ...]
    bias: F64
    bias_off: F64
    terms: int

    @property
    def error(self) -> float:
        """What a sum computed in float64 is off by, of the magnitudes of all of its terms."""
        return gamma(self.terms) + max(part.off for part in self.parts)

    @property
    def of_columns(self) -> float:
        """The same of columns, in binary32."""
        return gamma(self.terms) * SINGLE

    def spread(self, of: Mapping[str, F64]) -> F64:
        """Upper bounds of the images of numbers >= 0 under the magnitudes of the weights."""
        return upper(sum(part.size @ of[part.source] for part in self.parts) + np.zeros(()))


@dataclass(frozen=True)
class Prepared:
    """A network as the bound at an image needs it; nothing here depends on the image."""

    network: Network
    settings: Mapping[str, Setting]
    sums: Mapping[str, Sums]

    def kind(self, node: Node) -> Kind:
        """The rules of a node."""
        return KINDS[node.op]


def prepared(network: Network) -> Prepared:
    """Weights and settings of every node. Raises Rejected where a rule of a layer fails."""
    shapes = {node.name: node.shape for node in network.nodes}
    settings, sums = dict[str, Setting](), dict[str, Sums]()
    for node in network.computed[1:]:
        layer = layer_of(node, shapes) if node.sum else None
        flat = Fix(np.zeros((node.shape[0], 1, 1, 1)), ZERO_GRID)
        settings[node.name] = Setting(node, layer, flat, False, taps_of(node, shapes))
        if layer is not None:
            sizes = real(layer.bias_size).ravel()
            sums[node.name] = _sums_of(node, shapes, layer.terms, sizes)
    return Prepared(network, settings, sums)


def _sums_of(node: Node, shapes: Mapping[str, Shape], terms: int, sizes: F64) -> Sums:
    assert node.sum is not None
    units = math.prod(node.shape)
    bias = np.zeros(len(sizes))
    if node.sum.constants:
        made = [made_of(constant, node.shape) for constant in node.sum.constants]
        each = np.stack([value.repeat(len(sizes) // len(value)) for value in made])
        bias = np.sum(each, axis=0).astype(np.float64)
    off = upper(
        sizes * (V + OF_FACTORS * max([len(c.factors) for c in node.sum.constants], default=0))
    )
    parts = tuple(_weights(part, node.shape, shapes[part.source]) for part in node.sum.parts)
    most = terms + len(parts) + 2
    return Sums(parts, bias.repeat(units // len(bias)), off.repeat(units // len(off)), most)


def _weights(part: Part, shape: Shape, source: Shape) -> Weights:
    made, weight = products(part, shape, source), part.weight.astype(np.float64)
    if part.factors:
        weight = weight * product(part.factors, len(weight)).astype(float)[:, None, None, None]
    w = csr_array((weight.ravel()[made.data], made.indices, made.indptr), made.shape)
    pointwise = (
        part.weight.shape[2:] == (1, 1)
        and part.groups == 1
        and part.view is None
        and part.strides == (1, 1)
        and not any(part.pads)
    )
    full = pointwise and np.count_nonzero(weight) * 8 > weight.size
    off = OF_FACTORS * len(part.factors)
    return Weights(part.source, w, off, weight[:, :, 0, 0] if full else None, kernel=weight)
