"""The files that the documentation calls the reader's own: a model, images, a mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def digits(folder: Path) -> None:
    """digits.onnx, float32 to logits, digits.npz with labels that it gives, and digits.png."""
    random = np.random.default_rng(0)
    weights = {"a": random.normal(size=(6, 36)) / 5, "b": random.normal(size=(3, 6)) / 3}
    nodes = [
        helper.make_node("Flatten", ["x"], ["v"]),
        helper.make_node("Gemm", ["v", "a"], ["h"], transB=1),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "b"], ["z"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, 6, 6])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(w.astype(np.float32), k) for k, w in weights.items()],
    )
    made = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    (folder / "digits.onnx").write_bytes(made.SerializeToString())
    images = random.integers(0, 256, (4, 6, 6), dtype=np.uint8)
    hidden = np.maximum(images.reshape(4, 36) / 255 @ weights["a"].T, 0)
    labels = (hidden @ weights["b"].T).argmax(axis=1).astype(np.uint8)
    np.savez(folder / "digits.npz", images=images, labels=labels)
    from PIL import Image

    Image.fromarray(np.tri(6, dtype=np.uint8) * 255).save(folder / "digits.png")
