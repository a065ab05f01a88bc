"""What may be the other image of a pair: the moves of a question that raise an answer most.

To first order a move adds up what its places do, each its slope times how far it moves. So of each
place the better direction is taken, of each cell the places that help, and of all cells the best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lastbit.graph import ByteArray, ImageArray, Network
from lastbit.witness.search.adam import TINY

MOST = 255


@dataclass(frozen=True, eq=False)
class Pair:
    """Two images (C, H, W) that differ by a move; ``score`` is what it does to a class's answer."""

    image: ImageArray
    other: ImageArray
    class_index: int
    score: float

    @property
    def pixel(self) -> tuple[int, int]:
        """(row, column) of the first pixel that changes."""
        changed = np.argwhere((self.image != self.other).any(axis=0))
        row, column = changed[0] if len(changed) else (0, 0)
        return int(row), int(column)


class Moves:
    """The moves of a network's question, over images of P numbers in all.

    Attributes:
        cells: (K, m) the numbers of the places of each cell.
        count: of how many cells may move at once.
        far: how far a byte moves at most.
        flips: whether it is a bit that moves.
    """

    def __init__(self, network: Network) -> None:
        question = network.question
        self.cells = torch.from_numpy(question.cells(network.input_shape).astype(np.int64))
        self.count, self.far = question.move.cells, question.step
        self.flips = question.move.by == "bit"

    def steps(self, x: Tensor, slope: Tensor, *, of_bytes: bool) -> tuple[Tensor, Tensor]:
        """How far each place would move for the better, and what that brings, both (N, P).

        Args:
            x: images (N, P), from 0 to 255.
            slope: of what is to grow.
            of_bytes: whether they are bytes, of which a bit can flip in one direction only.
        """
        up, down = (MOST - x).clamp(max=self.far), x.clamp(max=self.far)
        if self.flips:
            low = (x.long() & self.far) == 0 if of_bytes else up >= self.far
            high = ~low if of_bytes else down >= self.far
            up, down = self.far * low, self.far * high
        rises, falls = slope * up, -slope * down
        rising = (rises > falls) | ((rises == falls) & (up > 0))
        return torch.where(rising, up, -down), torch.maximum(rises, falls).clamp_min(0)

    def best(
        self, x: Tensor, slope: Tensor, *, of_bytes: bool, luck: torch.Generator | None = None
    ) -> Tensor:
        """The move that raises most, as what it adds to each place (N, P).

        With ``luck`` any is possible, strong ones likelier.
        """
        step, gain = self.steps(x, slope, of_bytes=of_bytes)
        each = self.of_cells(gain)
        if luck is not None:
            drawn = torch.rand(each.shape, generator=luck).clamp_min(TINY)
            each = 2 * each.clamp_min(TINY).log() - (-drawn.log()).clamp_min(TINY).log()
        return step * self.mask(each.topk(self.count, dim=1).indices, x.shape[1])

    def of_cells(self, gain: Tensor) -> Tensor:
        """What each cell brings (N, K)."""
        return gain[:, self.cells].sum(2)

    def mask(self, chosen: Tensor, places: int) -> Tensor:
        """1 at the places of some cells (N, n), 0 elsewhere (N, places)."""
        found = torch.zeros(len(chosen), places)
        return found.scatter_(1, self.cells[chosen].flatten(1), 1.0)

    def rounded(self, x: Tensor, step: Tensor) -> tuple[ByteArray, ByteArray]:
        """Bytes near images (N, P), and the other images that a move of them makes."""
        image, by = x.round().clamp(0, MOST).long(), step.round().long()
        if self.flips:
            flipped = image ^ self.far
            wrong = ((by > 0) & (image & self.far > 0)) | ((by < 0) & (image & self.far == 0))
            image = torch.where(wrong, flipped, image)
        other = self.moved(image, by)
        return image.numpy().astype(np.uint8), other.numpy().astype(np.uint8)

    def moved(self, image: Tensor, by: Tensor) -> Tensor:
        """Bytes, as integers, after a move: the bit flips, or as far as there is room."""
        return (
            torch.where(by != 0, image ^ self.far, image)
            if self.flips
            else (image + by).clamp(0, MOST)
        )
