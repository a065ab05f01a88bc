"""A rewritten graph, matched with the nodes of the normal form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from lastbit.audit.onnx_values import Fused, fused_model
from lastbit.audit.structure.expected import Expected, expectations
from lastbit.audit.structure.onnx_graph import OnnxTrace, traced_onnx
from lastbit.audit.structure.tracing import Tracing, constant_key
from lastbit.graph import ByteArray
from lastbit.runtimes.onnx_runtime import Level, optimised
from lastbit_check.certificate import Hints
from lastbit_check.check import network_in
from lastbit_check.derive.frame import frame_of
from lastbit_check.network import Network as CheckedNetwork
from lastbit_check.question import ONE_IMAGE

REWRITINGS = ("sum", "scale", "hide", "recomputes")
IMAGES = 3
"""On so many random images a rewritten graph is run."""


@dataclass(frozen=True)
class Structure:
    """A rewritten graph.

    Attributes:
        runtime: name and version.
        setting: level of optimisation, number of images.
        operations: how many it has.
        nodes: how many nodes of the normal form are computed in it, of `all_nodes`.
        rewritings: by name, how often each was found.
        twice: nodes that are computed more than once, in words.
        broken: what matches no node and no allowed rewriting, in words.
        unequal: nodes that are computed more than once, not surely to the same bits, in words.
    """

    runtime: str
    setting: str
    operations: int
    nodes: int
    all_nodes: int
    rewritings: Mapping[str, int]
    twice: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    unequal: tuple[str, ...] = ()


@dataclass
class OnnxStructures:
    """What ONNX Runtime makes of a model at each level, found out once."""

    model: Path
    constants: set[bytes]
    images: int = IMAGES
    known: dict[Level, tuple[onnx.ModelProto, OnnxTrace]] = field(
        default_factory=dict[Level, tuple[onnx.ModelProto, OnnxTrace]]
    )

    @cached_property
    def expected(self) -> Expected:
        """Every node on a few random images."""
        checked = network_in(self.model.read_bytes())
        images = probes(checked, self.images)
        return expectations(frame_of(checked, ONE_IMAGE, Hints({})), images)

    def of_one(self) -> OnnxStructures:
        """The same, on one image."""
        return OnnxStructures(self.model, self.constants, 1)

    def traced(self, level: Level) -> tuple[onnx.ModelProto, OnnxTrace]:
        """The optimised model, and what its tensors are."""
        if level not in self.known:
            proto = optimised(str(self.model), level)
            self.known[level] = proto, traced_onnx(proto, Tracing(self.expected))
        return self.known[level]

    def fused(self, level: Level) -> Fused:
        """The optimised model, to be run with its values shown."""
        return fused_model(*self.traced(level))


def onnx_structures(model: Path, images: int = IMAGES) -> OnnxStructures:
    """A model, ready to be looked at on so many random images."""
    given = {constant_key(numpy_helper.to_array(t)) for t in onnx.load(model).graph.initializer}
    return OnnxStructures(model, given, images)


def probes(network: CheckedNetwork, images: int) -> ByteArray:
    """Random images (N, C, H, W)."""
    shape = (images, *network.input.shape)
    return np.random.default_rng(17).integers(0, 256, shape, dtype=np.uint8)


def new_constants(found: OnnxStructures, tracing: Tracing) -> int:
    """How many constants of a rewritten graph the file does not have, and how many have moved."""
    return len(tracing.constants - found.constants - {b""}) + tracing.moved


def structure_of(
    runtime: str, setting: str, operations: int, tracing: Tracing, counted: Mapping[str, int],
    *, broken: Iterable[str] = (), unequal: Iterable[str] = (),
) -> Structure:  # fmt: skip
    """A traced graph, with what was counted of it."""
    expected = tracing.expected
    names = {node.name for node in expected.network.nodes}
    twice = {name: [made for _, made in c] for name, c in tracing.copies.items()
             if len(c) > 1 and name in names}  # fmt: skip
    differing = [
        f"{name} is computed {len(made)} times, not always by the same operations"
        for name, made in twice.items()
        if len({*made}) > 1
    ]
    seen = {*tracing.copies, expected.network.input.name, *expected.same} & names
    return Structure(
        runtime,
        setting,
        operations,
        len(seen),
        len(names),
        {**dict.fromkeys(REWRITINGS, 0), **counted, "recomputes": len(twice)},
        tuple(f"{name}: {len(made)} times" for name, made in twice.items()),
        (*tracing.unknown, *broken),
        (*differing, *unequal),
    )
