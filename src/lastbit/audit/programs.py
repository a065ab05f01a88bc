"""Programs as people run them: images to probabilities, nothing else asked for."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from lastbit.graph import ByteArray, Float32Array, Network
from lastbit.runtimes.onnx_runtime import LEVELS, Level, session_of


@dataclass(frozen=True)
class Program:
    """A runtime with a setting; ``run`` takes images (N, C, H, W), and gives (N, classes)."""

    name: str
    run: Callable[[ByteArray], Float32Array]


def programs(model: Path, network: Network) -> list[Program]:
    """All that are installed; ONNX Runtime at each of its levels."""
    found = [_onnx(model, level) for level in LEVELS]
    if importlib.util.find_spec("torch") is not None:
        found += [_torch(network, channels_last=last) for last in (False, True)]
    if importlib.util.find_spec("jax") is not None:
        found.append(_jax(network))
    return found


def _onnx(model: Path, level: Level) -> Program:
    session = session_of(str(model), level)
    source = session.get_inputs()[0]
    step = 1 if source.shape[0] == 1 else None

    def run(images: ByteArray) -> Float32Array:
        parts = [images[k : k + 1] for k in range(len(images))] if step else [images]
        found = [np.asarray(session.run(None, {source.name: part})[0]) for part in parts]
        return np.concatenate(found).reshape(len(images), -1)

    return Program(f"onnxruntime {onnxruntime.__version__}, {level}", run)


def _torch(network: Network, *, channels_last: bool) -> Program:
    import torch

    from lastbit.runtimes.torch_network import TorchNetwork

    layout = torch.channels_last if channels_last else torch.contiguous_format
    whole = TorchNetwork(network, memory_format=layout)

    def run(images: ByteArray) -> Float32Array:
        with torch.inference_mode():
            return whole.probabilities(torch.from_numpy(images).float()).numpy()

    setting = "channels-last" if channels_last else "eager"
    return Program(f"torch {torch.__version__}, {setting}", run)


def _jax(network: Network) -> Program:
    jax: Any = importlib.import_module("jax")

    from lastbit.runtimes.jax_network import computed

    program = jax.jit(lambda images: computed(jax, network, images, None)[network.output])

    def run(images: ByteArray) -> Float32Array:
        return np.asarray(program(images.astype(np.float32))).reshape(len(images), -1)

    return Program(f"jax {jax.__version__}, jit", run)
