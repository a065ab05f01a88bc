"""Receptive fields: the first layers, seen only where one pixel can change them.

Before the dense layer of a folded network (see `linear_head`) a pixel changes few positions of each
value, a window, and these depend on a patch of the image around the pixel, the receptive field of
the last window: 13 x 13 pixels for two 3x3
convolutions, the first with stride 2. For every pixel the windows have the same size; where they
reach beyond a value they read the zeros of the padding.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lastbit.graph import ByteArray, Input, Linear, Network, Node
from lastbit.operators.base import Convolution
from lastbit.witness.search.scoring import IntArray


@dataclass(frozen=True)
class Axis:
    """The windows of one image axis, per node of the chain, the input first.

    Attributes:
        sizes: how long the windows are, per node.
        starts: (nodes, pixels) where they start, by the place of the pixel; may be negative.
        limits: how long the values are, per node.
    """

    sizes: tuple[int, ...]
    starts: IntArray
    limits: tuple[int, ...]

    @classmethod
    def of(cls, chain: list[Node], axis: int) -> "Axis":
        """Of a chain that begins with the input; axis 0 for rows, 1 for columns."""
        steps = [_step(node, axis) for node in chain[1:]]
        limits = tuple(node.shape[1 + axis] for node in chain)
        first = last = np.arange(limits[0])
        for kernel, stride, pad in steps:
            first, last = -((kernel - 1 - pad - first) // stride), (last + pad) // stride
        size, starts = int((last - first).max()) + 1, [first]
        sizes = [size]
        for kernel, stride, pad in reversed(steps):
            sizes.append((sizes[-1] - 1) * stride + kernel)
            starts.append(starts[-1] * stride - pad)
        return cls(tuple(sizes[::-1]), np.stack(starts[::-1]), limits)

    def inside(self, node: int) -> Tensor:
        """Per pixel, which places of a node's window are in its value: bool (pixels, size)."""
        places = self.starts[node][:, None] + np.arange(self.sizes[node])
        return torch.from_numpy((places >= 0) & (places < self.limits[node]))


def _step(node: Node, axis: int) -> tuple[int, int, int]:
    """Kernel, stride and padding before the value."""
    layer = node.convolution
    if layer is None:
        return 1, 1, 0
    return layer.weight.shape[2 + axis], layer.strides[axis], layer.pads[axis]


class ReceptiveFields:
    """The receptive fields, and the windows in between, of all pixels of a folded network.

    Pixels are indices (N,) into H * W, patches (N, *shape) hold byte values 0..255.

    Args:
        network: as `fold_linear_head` makes it.
        dtype: of all that is computed.

    Attributes:
        shape: rows and columns of a patch.
    """

    def __init__(self, network: Network, dtype: torch.dtype) -> None:
        *chain, dense, _ = network.nodes
        assert isinstance(chain[0], Input) and isinstance(dense, Linear)
        self._chain = chain
        self.image = chain[0].shape[1:]
        self.rows, self.cols = (Axis.of(chain, axis) for axis in (0, 1))
        self.shape = self.rows.sizes[0], self.cols.sizes[0]
        self._corner = [torch.from_numpy(axis.starts[0]) for axis in (self.rows, self.cols)]
        self._inside = [
            (self.rows.inside(k).to(dtype), self.cols.inside(k).to(dtype))
            for k in range(len(chain))
        ]
        self._layers = [_layer(node.convolution, dtype) for node in chain]
        self._dense = self._dense_windows(torch.from_numpy(dense.weight.copy()).to(dtype))

    @property
    def local(self) -> bool:
        """Whether a patch is no larger than two images: else it costs more than it spares."""
        return self.shape[0] * self.shape[1] <= 2 * self.image[0] * self.image[1]

    def _dense_windows(self, weight: Tensor) -> Tensor:
        """The dense layer's weights on the last window, by its first row and column.

        A view (rows, columns, classes, C, h, w), zero beyond the value.
        """
        starts = [axis.starts[-1] for axis in (self.rows, self.cols)]
        sizes = [axis.sizes[-1] for axis in (self.rows, self.cols)]
        before = [max(0, -int(start.min())) for start in starts]
        after = [
            max(0, int(start.max()) + size - limit)
            for start, size, limit in zip(starts, sizes, weight.shape[2:], strict=True)
        ]
        self._first = [
            torch.from_numpy(start + extra) for start, extra in zip(starts, before, strict=True)
        ]
        padded = functional.pad(weight, (before[1], after[1], before[0], after[0]))
        return padded.unfold(2, sizes[0], 1).unfold(3, sizes[1], 1).permute(2, 3, 0, 1, 4, 5)

    def changes(self, patches: Tensor, pixels: Tensor) -> Tensor:
        """How the logits (N, classes) change when the pixel goes one up."""
        row, col = self.places(pixels)
        flipped = patches.flatten(1).clone()
        flipped[torch.arange(len(patches)), self.own(pixels)] += 1
        values = self._values(torch.cat([patches, flipped.view_as(patches)]), row, col)
        moved = (values[len(patches) :] - values[: len(patches)]).flatten(1)
        weight = self._dense[self._first[0][row], self._first[1][col]].flatten(2)
        return torch.einsum("nkv,nv->nk", weight, moved)

    def _values(self, patches: Tensor, row: Tensor, col: Tensor) -> Tensor:
        """The last window (2 N, C, h, w) of patches (2 N, ...); two of them belong to one pixel."""
        x = patches[:, None]
        for k, (node, layer) in enumerate(zip(self._chain, self._layers, strict=True)):
            if layer is not None:
                weight, bias, like = layer
                x = functional.conv2d(x, weight, bias, like.strides, 0, 1, like.groups)
            elif not isinstance(node, Input):
                x = node.torch((), x)
            x = x.unflatten(0, (2, -1)) * self._mask(k, row, col)[None, :, None]
            x = x.flatten(0, 1)
        return x

    def places(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Rows and columns (N,)."""
        return pixels // self.image[1], pixels % self.image[1]

    def corners(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Row and column (N,) of the image where the patch begins; may be negative."""
        row, col = self.places(pixels)
        return self._corner[0][row], self._corner[1][col]

    def own(self, pixels: Tensor) -> Tensor:
        """Where the pixel itself is in its patch, an index (N,)."""
        (row, col), (top, left) = self.places(pixels), self.corners(pixels)
        return (row - top) * self.shape[1] + col - left

    def inside(self, pixels: Tensor) -> Tensor:
        """1 where the patch is in the image, 0 elsewhere (N, *shape)."""
        row, col = self.places(pixels)
        return self._mask(0, row, col)

    def cut(self, images: ByteArray, pixels: Tensor) -> Tensor:
        """The patches of images (N, H, W) around a pixel each; 0 outside the image."""
        top, left = self.corners(pixels)
        rows = top[:, None] + torch.arange(self.shape[0])
        cols = left[:, None] + torch.arange(self.shape[1])
        rows, cols = rows.clamp(0, self.image[0] - 1), cols.clamp(0, self.image[1] - 1)
        n = torch.arange(len(pixels))[:, None, None]
        cut = torch.from_numpy(images)[n, rows[:, :, None], cols[:, None, :]]
        return cut * self.inside(pixels)

    def _mask(self, node: int, row: Tensor, col: Tensor) -> Tensor:
        rows, cols = self._inside[node]
        return rows[row][:, :, None] * cols[col][:, None, :]


def _layer(
    like: Convolution | None, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Convolution] | None:
    """A linear map's weights and bias as tensors, beside it."""
    if like is None:
        return None
    weight, bias = (torch.from_numpy(v).to(dtype) for v in (like.weight, like.bias))
    return weight, bias, like
