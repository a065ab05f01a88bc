"""Patches that are searched on side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Population:
    """Patches (N, h, w) of byte values, their pixels (N,) and what they attain (N,)."""

    patches: Tensor
    pixels: Tensor
    values: Tensor

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Tensor | list[int]) -> "Population":
        return Population(self.patches[rows], self.pixels[rows], self.values[rows])

    def best(self, count: int, per_pixel: int) -> "Population":
        """The best ones, all of them different, best first."""
        kept: list[int] = []
        seen: dict[int, set[bytes]] = {}
        for k in self.values.argsort(descending=True, stable=True).tolist():
            same = seen.setdefault(int(self.pixels[k]), set())
            content = self.patches[k].numpy().tobytes()
            if len(same) < per_pixel and content not in same:
                same.add(content)
                kept.append(k)
                if len(kept) == count:
                    break
        return self[kept]


def joined(populations: Sequence[Population]) -> Population:
    """All of them in one, in this order."""
    return Population(
        torch.cat([population.patches for population in populations]),
        torch.cat([population.pixels for population in populations]),
        torch.cat([population.values for population in populations]),
    )


def better(one: Population, other: Population) -> Population:
    """The better of two patches each, the first where they are equal."""
    gained = other.values > one.values
    return Population(
        torch.where(gained[:, None, None], other.patches, one.patches),
        one.pixels,
        torch.where(gained, other.values, one.values),
    )
