"""EfficientNet-B0, one input channel and ten classes, as data.

Table 1 of M. Tan and Q. V. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural
Networks", ICML 2019. State dicts have timm's names, so that weights can be exchanged with it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
INPUT_CHANNELS = 1
CLASSES = 10
INPUT_SHAPE = (INPUT_CHANNELS, 28, 28)
BATCH_NORM_EPSILON = 1e-5


@dataclass(frozen=True)
class Stage:
    """A row of Table 1: `repeats` blocks, of which the first has the stride."""

    expansion: int
    kernel: int
    stride: int
    channels: int
    repeats: int


STAGES = (
    Stage(1, 3, 1, 16, 1),
    Stage(6, 3, 2, 24, 2),
    Stage(6, 5, 2, 40, 2),
    Stage(6, 3, 2, 80, 3),
    Stage(6, 5, 1, 112, 3),
    Stage(6, 5, 2, 192, 4),
    Stage(6, 3, 1, 320, 1),
)


@dataclass(frozen=True)
class Block:
    """One MBConv block: expand, depthwise, squeeze-and-excite, project, perhaps a residual.

    `name` is its prefix in a state dict. The very first block has no expansion, and timm numbers
    its layers differently.
    """

    name: str
    inputs: int
    outputs: int
    expansion: int
    kernel: int
    stride: int

    @property
    def expanded(self) -> int:
        return self.inputs * self.expansion

    @property
    def squeezed(self) -> int:
        """Channels inside squeeze-and-excite: a quarter of the block's inputs."""
        return self.inputs // 4

    @property
    def expand(self) -> tuple[str, str] | None:
        """Names of the expanding convolution and of its batch norm."""
        return ("conv_pw", "bn1") if self.expansion > 1 else None

    @property
    def depthwise(self) -> tuple[str, str]:
        return ("conv_dw", "bn2" if self.expansion > 1 else "bn1")

    @property
    def project(self) -> tuple[str, str]:
        return ("conv_pwl", "bn3") if self.expansion > 1 else ("conv_pw", "bn2")

    @property
    def residual(self) -> bool:
        return self.stride == 1 and self.inputs == self.outputs


@dataclass(frozen=True)
class Widths:
    """Output channels of the stem, of the seven stages, and of the last convolution."""

    stem: int
    stages: tuple[int, ...]
    head: int

    def blocks(self) -> tuple[Block, ...]:
        """The sixteen blocks of Table 1 in these widths."""
        return tuple(_blocks(self))


def _blocks(widths: Widths) -> Iterator[Block]:
    inputs = widths.stem
    for number, (stage, outputs) in enumerate(zip(STAGES, widths.stages, strict=True)):
        for repeat in range(stage.repeats):
            yield Block(
                f"blocks.{number}.{repeat}",
                inputs,
                outputs,
                stage.expansion,
                stage.kernel,
                1 if repeat else stage.stride,
            )
            inputs = outputs


B0 = Widths(STEM_CHANNELS, tuple(stage.channels for stage in STAGES), HEAD_CHANNELS)
BLOCKS = B0.blocks()


def widths_of(shapes: Mapping[str, tuple[int, ...]]) -> Widths:
    """The widths that the shapes of a state dict say; those of B0 where a tensor is missing."""

    def channels(name: str, otherwise: int) -> int:
        return (shapes.get(f"{name}.weight") or (otherwise,))[0]

    last = {block.name.split(".")[1]: block for block in BLOCKS}
    stages = (
        channels(f"{block.name}.{block.project[0]}", block.outputs) for block in last.values()
    )
    return Widths(
        channels("conv_stem", STEM_CHANNELS), tuple(stages), channels("conv_head", HEAD_CHANNELS)
    )


def state_shapes(widths: Widths = B0) -> dict[str, tuple[int, ...]]:
    """Every tensor of a state dict with its shape, in timm's order."""
    shapes: dict[str, tuple[int, ...]] = {}

    def batch_norm(name: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (channels,)
        shapes[f"{name}.num_batches_tracked"] = ()

    def normed(prefix: str, names: tuple[str, str], weight: tuple[int, int, int, int]) -> None:
        shapes[f"{prefix}{names[0]}.weight"] = weight
        batch_norm(f"{prefix}{names[1]}", weight[0])

    normed("", ("conv_stem", "bn1"), (widths.stem, INPUT_CHANNELS, 3, 3))
    blocks = widths.blocks()
    for block in blocks:
        prefix, wide, narrow = f"{block.name}.", block.expanded, block.squeezed
        if block.expand:
            normed(prefix, block.expand, (wide, block.inputs, 1, 1))
        normed(prefix, block.depthwise, (wide, 1, block.kernel, block.kernel))
        shapes[f"{prefix}se.conv_reduce.weight"] = (narrow, wide, 1, 1)
        shapes[f"{prefix}se.conv_reduce.bias"] = (narrow,)
        shapes[f"{prefix}se.conv_expand.weight"] = (wide, narrow, 1, 1)
        shapes[f"{prefix}se.conv_expand.bias"] = (wide,)
        normed(prefix, block.project, (block.outputs, wide, 1, 1))
    normed("", ("conv_head", "bn2"), (widths.head, blocks[-1].outputs, 1, 1))
    shapes["classifier.weight"] = (CLASSES, widths.head)
    shapes["classifier.bias"] = (CLASSES,)
    return shapes


def random_state(seed: int) -> dict[str, NDArray[np.float32]]:
    """Random weights under which the answer depends on the image; for tests.

    Batch norms get random statistics too, so that none of their parts can be mistaken.
    `num_batches_tracked` is left out: it plays no part in inference.
    """
    random = np.random.default_rng(seed)
    state: dict[str, NDArray[np.float32]] = {}
    for name, shape in state_shapes().items():
        if name.endswith("num_batches_tracked"):
            continue
        layer, _, part = name.rpartition(".")
        norm = layer.rpartition(".")[2].startswith("bn")
        if norm and part in ("weight", "running_var"):
            values = random.uniform(0.5, 1.5, shape)
        elif len(shape) > 1:
            fan_in = int(np.prod(shape[1:]))
            values = random.normal(0, 1.3 * np.sqrt(2 / fan_in), shape)
        else:
            values = random.normal(0, 0.1, shape)
        state[name] = values.astype(np.float32)
    return state
