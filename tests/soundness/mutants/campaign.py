"""Mutants through the checker, the ONNX library and ONNX Runtime: do they read alike?"""

from __future__ import annotations

import hashlib
import pickle
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from lastbit_check.asked import asked
from lastbit_check.network import Network
from lastbit_check.onnxfile import FLOAT, OnnxGraph, Operator, read
from lastbit_check.question import LAST_BIT, Step
from lastbit_check.reading import network_of
from lastbit_check.verdict import Rejected, Unreadable
from soundness.mutants.execute import Execution, Float64

LEVELS = (
    onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
)
COARSE = 0.05  # a tolerance beyond which nothing is compared
IMAGES = 3
OF_BYTES = replace(LAST_BIT, pixels=(Step("Div", (255.0,)),))
"""What is asked of a file that reads float32."""
Images = NDArray[Any]


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


class Judge:
    """Judges each mutant, but for those that it has seen before."""

    def __init__(self) -> None:
        self.found, self.seen = Found(), set[bytes]()
        self.known: dict[bytes, Execution | Rejected] = {}
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
        except Unreadable:
            self.found.rules["unreadable"] += 1
            return
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

    def normal(self, graph: OnnxGraph) -> Execution:
        """The normal form on some images, which many mutants share."""
        key = hashlib.blake2b(pickle.dumps(graph), digest_size=16).digest()
        if key not in self.known:
            if len(self.known) > 5000:
                self.known.clear()
            try:
                question = OF_BYTES if graph.image.element == FLOAT else LAST_BIT
                network = network_of(asked(graph, question))
                images = images_of(network).reshape(IMAGES, -1)
                self.known[key] = Execution(network, images.T.astype(np.float64))
            except Rejected as error:
                self.known[key] = error
        known = self.known[key]
        if isinstance(known, Rejected):
            raise known
        return known

    def differs(self, data: bytes, graph: OnnxGraph, known: Execution, *, valid: bool) -> str:
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
            got = [run(session, images) for images in parts(graph, known.network)]
        except Exception:
            count["fails when it runs"] += 1
            return ""
        shapes = {values.shape[0] for values in got}
        if shapes != ({1} if len(got) == IMAGES else {1, IMAGES - 1}):
            return f"ONNX Runtime returns shapes {[values.shape for values in got]}"
        with np.errstate(all="ignore"):
            return self.compared(graph, known, np.concatenate(got).reshape(IMAGES, -1))

    def compared(self, graph: OnnxGraph, known: Execution, got: Float64) -> str:
        """How an answer differs from the probabilities of the normal form."""
        count, expected = self.found.counts, known.probabilities
        if (end := end_of(graph)) == "ArgMax":
            if got.shape != (IMAGES, 1):
                return f"ONNX Runtime returns {got.shape}"
            away = expected.max(axis=1) - expected[range(IMAGES), got[:, 0].astype(np.int64)]
        else:
            values = got if end == "Softmax" else normed(got)
            if values.shape != expected.shape:
                return f"ONNX Runtime returns {values.shape}"
            away = np.max(np.abs(values - expected), axis=1)
        if not np.all(away < 2.0**-18):
            allowed = known.tolerance
            if not np.all(allowed <= COARSE):
                count["too coarse to be compared"] += 1
                return ""
            if not np.all(away <= 2 * allowed):
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


def parts(graph: OnnxGraph, network: Network) -> list[Images]:
    """One and two images where there may be several, one by one otherwise; as the file reads."""
    dims = graph.image.dims
    assert dims is not None
    images = images_of(network).reshape(IMAGES, *dims[1:])
    if graph.image.element == FLOAT:
        images = images.astype(np.float32) / np.float32(255)
    return [images[k : k + 1] for k in range(IMAGES)] if dims[0] == 1 else [images[:1], images[1:]]


def run(session: onnxruntime.InferenceSession, images: Images) -> Float64:
    return np.asarray(session.run(None, {session.get_inputs()[0].name: images})[0], np.float64)


def end_of(graph: OnnxGraph) -> str:
    """The last operator that is no copy."""
    by_name = {o.name: o for o in graph.operators}
    name = graph.output_name
    while name in by_name and by_name[name].op in ("Cast", "Identity"):
        name = by_name[name].inputs[0]
    return by_name[name].op if name in by_name else ""


def normed(logits: Float64) -> Float64:
    """Probabilities of logits, or of their logarithms."""
    t = np.exp(logits - logits.max(axis=1, keepdims=True))
    return t / t.sum(axis=1, keepdims=True)


def interface(graph: OnnxGraph, session: onnxruntime.InferenceSession) -> str:
    """Names, element types and sizes of what goes in and comes out."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        return f"{len(inputs)} inputs, {len(outputs)} outputs"
    given, made = inputs[0], outputs[0]
    if (given.name, made.name) != (graph.image.name, graph.output_name):
        return f"{given.name} to {made.name}"
    takes = "tensor(float)" if graph.image.element == FLOAT else "tensor(uint8)"
    if given.type != takes or (made.type != "tensor(float)" and end_of(graph) != "ArgMax"):
        return f"{given.type} to {made.type}"
    ours = [size if isinstance(size, int) else None for size in graph.image.dims or ()]
    theirs = [size if isinstance(size, int) else None for size in given.shape]
    return "" if ours == theirs else f"images of {theirs}, not {ours}"


def difference(graph: OnnxGraph, model: onnx.ModelProto) -> str:
    """What the ONNX library's own functions read otherwise."""
    read = dict[int, list[Operator]]()
    for operator in graph.operators:
        read.setdefault(operator.at, []).append(operator)
    if [*read] != [*range(len(model.graph.node))]:
        return "the number of operators"
    for node, operators in zip(model.graph.node, read.values(), strict=True):
        theirs = {a.name: _plain(helper.get_attribute_value(a)) for a in node.attribute}
        first = operators[0]
        ours = {name: _plain(value) for name, value in first.attributes.items()}
        inputs, outputs = _without_last(node.input), _without_last(node.output)
        names = (*(o.name for o in operators[: first.outputs]),)
        said = (node.op_type, inputs, outputs, theirs)
        if said != (first.op, first.inputs, names, ours):
            return f"{said}, not {operators}"
    tensors = {t.name: _plain(t) for t in model.graph.initializer}
    if tensors != {name: _plain(value) for name, value in graph.constants.items()}:
        return "constants"
    return ""


def _without_last(names: Sequence[str]) -> tuple[str, ...]:
    """Without the empty names at the end."""
    count = max((k + 1 for k, name in enumerate(names) if name), default=0)
    return (*names[:count],)


def _plain(value: Any) -> Any:
    """Something that can be compared."""
    if isinstance(value, onnx.TensorProto):
        value = numpy_helper.to_array(value)
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, bytes):
        value = value.decode()
    return value if isinstance(value, str) else repr(value)
