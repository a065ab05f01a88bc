"""Mutants through the checker, the ONNX library and ONNX Runtime: do they read alike?"""

from __future__ import annotations

import hashlib
import pickle
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from onnx import helper, numpy_helper

from lastbit_check.network import Network
from lastbit_check.onnxfile import OnnxGraph, read
from lastbit_check.reading import network_of
from lastbit_check.verdict import Rejected
from soundness.mutants.execute import Float64, Images, execute, tolerance

LEVELS = (
    onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
)
COARSE = 0.05  # a tolerance beyond which nothing is compared
IMAGES = 3


@dataclass
class Found:
    """Shares of the mutants, and what was read in two ways."""

    counts: Counter[str] = field(default_factory=Counter[str])
    rules: Counter[str] = field(default_factory=Counter[str])
    disagreements: list[tuple[str, bytes]] = field(default_factory=list[tuple[str, bytes]])

    def shares(self) -> str:
        total = self.counts["mutants"]
        lines = [f"{n:8,}  {n / total:6.1%}  {name}" for name, n in self.counts.items()]
        rules = [f"{n:8,}  {rule}" for rule, n in self.rules.most_common()]
        return "\n".join([*lines, "refused by the checker's rule", *rules])


@dataclass(frozen=True)
class _Known:
    """What the checker makes of a graph."""

    network: Network
    images: Images
    probabilities: Float64


class Judge:
    """Judges each mutant, but for those that it has seen before."""

    def __init__(self) -> None:
        self.found, self.seen = Found(), set[bytes]()
        self.known: dict[bytes, _Known | Rejected] = {}
        self.options = [onnxruntime.SessionOptions() for _ in LEVELS]
        for options, level in zip(self.options, LEVELS, strict=True):
            options.log_severity_level = 4
            options.intra_op_num_threads = 1
            options.graph_optimization_level = level

    def __call__(self, data: bytes) -> None:
        digest = hashlib.blake2b(data, digest_size=12).digest()
        if digest in self.seen:
            return
        self.seen.add(digest)
        count = self.found.counts
        count["mutants"] += 1
        model, valid = library(data)
        count["accepted by the ONNX library"] += valid
        try:
            graph = read(data)
            known = self.normal(graph)
        except Rejected as error:
            self.found.rules[error.rule] += 1
            return
        count["accepted by the checker"] += 1
        wrong = difference(graph, model) if model else ""
        if wrong:
            wrong = f"the ONNX library reads another graph: {wrong}"
        wrong = wrong or self.differs(data, graph, known, valid=valid)
        if wrong:
            self.found.disagreements.append((wrong, data))

    def normal(self, graph: OnnxGraph) -> _Known:
        """The normal form and its probabilities, which many mutants share."""
        key = hashlib.blake2b(pickle.dumps(graph), digest_size=16).digest()
        if key not in self.known:
            if len(self.known) > 5000:
                self.known.clear()
            try:
                network = network_of(graph)
                images = images_of(network)
                with np.errstate(all="ignore"):
                    self.known[key] = _Known(network, images, execute(network, images))
            except Rejected as error:
                self.known[key] = error
        known = self.known[key]
        if isinstance(known, Rejected):
            raise known
        return known

    def differs(self, data: bytes, graph: OnnxGraph, known: _Known, *, valid: bool) -> str:
        """How ONNX Runtime reads it otherwise, "" where it does not."""
        count = self.found.counts
        try:
            options = self.options[len(self.seen) % len(LEVELS)]
            session = onnxruntime.InferenceSession(
                data, options, providers=["CPUExecutionProvider"]
            )
        except Exception:  # its exceptions have no common base of their own
            return ""
        count["loaded by ONNX Runtime as well"] += 1
        count["accepted by all three"] += valid
        if wrong := interface(graph, session):
            return f"ONNX Runtime has another interface: {wrong}"
        try:
            got = [run(session, images) for images in parts(graph, known.images)]
        except Exception:
            count["fails when it runs"] += 1
            return ""
        shapes = {values.shape[0] for values in got}
        if shapes != ({1} if len(got) == IMAGES else {1, IMAGES - 1}):
            return f"ONNX Runtime returns shapes {[values.shape for values in got]}"
        values = np.concatenate(got).reshape(IMAGES, -1)
        if values.shape != known.probabilities.shape:
            return f"ONNX Runtime returns {values.shape}"
        with np.errstate(all="ignore"):
            away = np.max(np.abs(values - known.probabilities), axis=1)
            if not np.all(away < 2.0**-18):
                allowed = tolerance(known.network, known.images)
                if not np.all(allowed <= COARSE):
                    count["too coarse to be compared"] += 1
                    return ""
                if not np.all(away <= allowed):
                    return f"probabilities differ by {away}, allowed {allowed}"
        count["computed alike"] += 1
        return ""


def library(data: bytes) -> tuple[onnx.ModelProto | None, bool]:
    """What the ONNX library parses, and whether it finds that in order."""
    model = None
    try:
        model = onnx.load_model_from_string(data)
        onnx.checker.check_model(model)
    except (DecodeError, ValueError, TypeError, onnx.checker.ValidationError):
        return model, False
    return model, True


def images_of(network: Network) -> Images:
    """Noise, one image of the extreme bytes, and one that is nearly black."""
    random = np.random.default_rng(3)
    images = random.integers(0, 256, (IMAGES, *network.input.shape), dtype=np.uint8)
    images[1] = np.where(images[1] < 128, 0, 255)
    images[2] //= 64
    return images


def parts(graph: OnnxGraph, images: Images) -> list[Images]:
    """One and two images where there may be several, one by one otherwise."""
    dims = graph.image.dims
    assert dims is not None
    return [images[k : k + 1] for k in range(IMAGES)] if dims[0] == 1 else [images[:1], images[1:]]


def run(session: onnxruntime.InferenceSession, images: Images) -> Float64:
    return np.asarray(session.run(None, {session.get_inputs()[0].name: images})[0], np.float64)


def interface(graph: OnnxGraph, session: onnxruntime.InferenceSession) -> str:
    """Names, element types and sizes of what goes in and comes out."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        return f"{len(inputs)} inputs, {len(outputs)} outputs"
    given, made = inputs[0], outputs[0]
    if (given.name, made.name) != (graph.image.name, graph.output_name):
        return f"{given.name} to {made.name}"
    if given.type != "tensor(uint8)" or made.type != "tensor(float)":
        return f"{given.type} to {made.type}"
    ours = [size if isinstance(size, int) else None for size in graph.image.dims or ()]
    theirs = [size if isinstance(size, int) else None for size in given.shape]
    return "" if ours == theirs else f"images of {theirs}, not {ours}"


def difference(graph: OnnxGraph, model: onnx.ModelProto) -> str:
    """What the ONNX library's own functions read otherwise."""
    nodes = model.graph.node
    if len(nodes) != len(graph.operators):
        return "the number of operators"
    for node, operator in zip(nodes, graph.operators, strict=True):
        theirs = {a.name: _plain(helper.get_attribute_value(a)) for a in node.attribute}
        ours = {name: _plain(value) for name, value in operator.attributes.items()}
        made = node.output[0] if len(node.output) == 1 else ""
        said = (node.op_type, (*node.input,), made, theirs)
        if said != (operator.op, operator.inputs, operator.name, ours):
            return f"{said}, not {operator}"
    tensors = {t.name: _plain(t) for t in model.graph.initializer}
    if tensors != {name: _plain(value) for name, value in graph.constants.items()}:
        return "constants"
    return ""


def _plain(value: Any) -> Any:
    """Something that can be compared."""
    if isinstance(value, onnx.TensorProto):
        value = numpy_helper.to_array(value)
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, bytes):
        value = value.decode()
    return value if isinstance(value, str) else repr(value)
