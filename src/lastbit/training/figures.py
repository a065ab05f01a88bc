"""Figures of a trained model, measured on the ONNX file itself."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from lastbit.data import LabelledImages, score
from lastbit.graph import Add, Gate, Network, Sigmoid, Silu, read_onnx
from lastbit.progress import Progress

_BATCH = 200
KINDS = ("silu", "gate", "residual", "dead")
DEAD = 0.01
"""A channel is dead whose deviation is below this share of its layer's."""


def measure(model: Path, test: LabelledImages, progress: Progress) -> dict[str, Any]:
    """Accuracy, and how nonlinear each SiLU, gate and residual branch is, by node name.

    `silu`: the RMS residual of the best affine fit per channel over the standard deviation of the
    output, both over all channels. `gate`: the standard deviation across images, root mean square
    over channels. `residual`: the Euclidean norm of the branch over that of the block's output.
    `dead`: the share of a SiLU's channels whose output's standard deviation is below a hundredth
    of its root mean square over the layer's channels.
    """
    network = read_onnx(model)
    meters = _meters(network)
    watched = list(dict.fromkeys(name for meter in meters for name in meter.reads))
    session = _session(model, watched)
    source = session.get_inputs()[0].name
    probabilities = []
    count = len(test.images)
    for start in range(0, count, _BATCH):
        images = test.images[start : start + _BATCH, None]
        output, *values = session.run(None, {source: images})
        probabilities.append(np.asarray(output).reshape(len(images), -1))
        found = dict(zip(watched, (np.asarray(value) for value in values), strict=True))
        for meter in meters:
            meter.add(*(found[name] for name in meter.reads))
        progress("measuring", min(start + _BATCH, count), count)
    nonlinearity: dict[str, dict[str, float]] = {kind: {} for kind in KINDS}
    for meter in meters:
        for kind, value in meter.values().items():
            nonlinearity[kind][meter.name] = value
    accuracy, nll = score(np.concatenate(probabilities), test.labels)
    return {
        # JSON cannot say that a likelihood is infinite
        "accuracy": {"test": accuracy, "nll": nll if math.isfinite(nll) else None},
        "nonlinearity": nonlinearity,
    }


def _session(model: Path, watched: list[str]) -> onnxruntime.InferenceSession:
    """A session of the model that returns the watched values too, in that order."""
    content = onnx.load(str(model))
    content.graph.output.extend(onnx.ValueInfoProto(name=name) for name in watched)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        content.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


@dataclass
class _Meter:
    """Sums over images, in float64, of what one node reads and writes."""

    name: str
    reads: tuple[str, ...]

    def __post_init__(self) -> None:
        self.sums: NDArray[np.float64] | float = 0.0
        self.count = 0

    def add(self, *values: NDArray[np.float32]) -> None:
        raise NotImplementedError

    def values(self) -> dict[str, float]:
        """Its figures by their kinds."""
        raise NotImplementedError


class _SiluMeter(_Meter):
    def add(self, *values: NDArray[np.float32]) -> None:
        x, y = (np.moveaxis(v, 1, 0).reshape(v.shape[1], -1).astype(np.float64) for v in values)
        self.count += x.shape[1]
        products = ((x * x).sum(1), (x * y).sum(1), (y * y).sum(1))
        self.sums = self.sums + np.stack([x.sum(1), y.sum(1), *products])

    def values(self) -> dict[str, float]:
        x, y, xx, xy, yy = np.asarray(self.sums) / self.count
        xx, xy, yy = xx - x * x, xy - x * y, yy - y * y
        live = xx > 0
        residual = yy[live] - xy[live] ** 2 / xx[live]
        dead = ~(np.sqrt(np.maximum(yy, 0)) >= DEAD * math.sqrt(np.maximum(yy, 0).mean()))
        return {
            "silu": _ratio(float(np.maximum(residual, 0).sum()), float(yy[live].sum())),
            "dead": float((dead | (yy <= 0)).mean()),
        }


class _GateMeter(_Meter):
    def add(self, *values: NDArray[np.float32]) -> None:
        s = values[0].reshape(len(values[0]), -1).astype(np.float64) - 0.5
        self.count += len(s)
        self.sums = self.sums + np.stack([s.sum(0), (s * s).sum(0)])

    def values(self) -> dict[str, float]:
        s, ss = np.asarray(self.sums) / self.count
        return {"gate": float(np.sqrt(np.maximum(ss - s * s, 0).mean()))}


class _ResidualMeter(_Meter):
    def add(self, *values: NDArray[np.float32]) -> None:
        self.sums = self.sums + np.array([np.sum(np.square(v, dtype=np.float64)) for v in values])

    def values(self) -> dict[str, float]:
        branch, output = np.asarray(self.sums)
        return {"residual": _ratio(float(branch), float(output))}


def _ratio(part: float, whole: float) -> float:
    """Root of a ratio of two sums of squares; 0 where there is nothing."""
    return math.sqrt(part / whole) if whole > 0 else 0.0


def _meters(network: Network) -> list[_Meter]:
    order = [node.name for node in network]
    gates = {node.s for node in network if isinstance(node, Gate)}
    meters: list[_Meter] = []
    for node in network:
        match node:
            case Silu():
                meters.append(_SiluMeter(node.name, (node.x, node.name)))
            case Sigmoid() if node.name in gates:
                meters.append(_GateMeter(node.name, (node.name,)))
            case Add():
                branch = max(node.x, node.y, key=order.index)  # the shortcut is the older one
                meters.append(_ResidualMeter(node.name, (branch, node.name)))
            case _:
                pass
    return meters
