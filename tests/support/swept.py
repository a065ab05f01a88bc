"""Small sweeps: a model, images, and every neighbour run by plain loops beside it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lastbit.data import ImageSet, image_set
from lastbit.data.numpy_files import read_npy
from lastbit.graph import read_onnx
from lastbit.models.shipped import ModelFiles, resolve_model
from lastbit.runtimes import named_runtime
from lastbit.sweep import Found, Goals, Local, Swept, sweep
from lastbit.sweep.everywhere import limits_everywhere
from lastbit.sweep.run import LimitsOf

BOTH = Goals(each=True, by_place=True)


def images_at(path: Path, files: ModelFiles, images: NDArray[np.generic]) -> ImageSet:
    """Images for a model, from an .npy that is written."""
    np.save(path, images)
    network = read_onnx(files.asked)
    return image_set(read_npy(path), network.input_shape, network.question)


def random_images(count: int, side: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side), dtype=np.uint8)


def swept(
    folder: Path,
    images: ImageSet,
    model: Path,
    *,
    goals: Goals = BOTH,
    limits: LimitsOf = limits_everywhere,
    runtime: str = "onnxruntime",
) -> Swept:
    """By one process, this one."""
    files = resolve_model(model)
    return sweep(
        files, images, folder, engine=Local(1), goals=goals, limits=limits, runtime=runtime
    )


@dataclass(frozen=True)
class Known:
    """The largest changes, one by one: (change, image, place, class), the largest first."""

    pairs: list[tuple[Fraction, int, int, int]]

    def largest(self) -> list[tuple[Fraction, int, int, int]]:
        return self.pairs[:10]

    def of_image(self, number: int) -> tuple[Fraction, int, int, int]:
        return next(pair for pair in self.pairs if pair[1] == number)

    def at_place(self, place: int) -> tuple[Fraction, int, int, int]:
        return next(pair for pair in self.pairs if pair[2] == place)


def known(model: Path, images: NDArray[np.uint8], runtime: str = "onnxruntime") -> Known:
    """Every neighbour of every image (N, H, W), run by itself; changes as exact fractions."""
    run = named_runtime(runtime).load(model)
    pairs = []
    for number, image in enumerate(images):
        before = run(image[None])[0]
        for place in range(image.size):
            moved = image.copy()
            moved.flat[place] ^= 1
            after = run(moved[None])[0]
            change = [
                abs(Fraction(float(a)) - Fraction(float(b)))
                for a, b in zip(after, before, strict=True)
            ]
            most = max(change)
            pairs.append((most, number, place, change.index(most)))
    pairs.sort(key=lambda pair: (-pair[0], *pair[1:]))
    return Known(pairs)


def told(found: Found) -> tuple[Fraction, int, int, int]:
    """What a sweep found, as `Known` has it."""
    change = abs(Fraction(found.after) - Fraction(found.before))
    return change, found.image, found.place, found.class_index
