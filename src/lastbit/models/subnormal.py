"""`zero-subnormal`: a network that sees its image through subnormal numbers.

The construction of the discussion: a first convolution whose only tap is 2^-149 rounds a pixel
x = v/255 to 2^-149 if x > 1/2, to 0 if not; a factor 2^100 and a division by 2^-49 make 1 and 0 of
it. So the two bytes 2k and 2k + 1 give the same, and no last bit matters - until a processor
flushes subnormal numbers to zero, where every image is black (docs/zero.md).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from lastbit.errors import ModelError, UsageError

TAP, FACTOR, DIVISOR = 2.0**-149, 2.0**100, 2.0**-49


def subnormal(model: Path, pixels: str = "pixels") -> bytes:
    """The ONNX file ``model``, its readers of the node ``pixels`` reading it through subnormals.

    Raises:
        ModelError: the file cannot be read.
        UsageError: it has no such node of one channel.
    """
    try:
        content = onnx.load(str(model))
    except (OSError, ValueError) as error:
        raise ModelError(f"the model cannot be read: {error}", where=str(model)) from error
    graph = content.graph
    found = [k for k, node in enumerate(graph.node) if pixels in node.output]
    if not found:
        raise UsageError(f"there is no node {pixels!r}", where=str(model))
    for node in graph.node:
        for k, name in enumerate(node.input):
            if name == pixels:
                node.input[k] = "binarised"
    kernel = np.zeros((1, 1, 3, 3), np.float32)
    kernel[0, 0, 1, 1] = TAP
    constants = {"tiny.weight": kernel, "grown.constant": np.float32(FACTOR),
                 "binarised.constant": np.float32(DIVISOR)}  # fmt: skip
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value, np.float32), name)
        for name, value in constants.items()
    )
    added = [
        helper.make_node("Conv", [pixels, "tiny.weight"], ["tiny"], "tiny", kernel_shape=[3, 3],
                         strides=[1, 1], pads=[1, 1, 1, 1], group=1),
        helper.make_node("Mul", ["tiny", "grown.constant"], ["grown"], "grown"),
        helper.make_node("Div", ["grown", "binarised.constant"], ["binarised"], "binarised"),
    ]  # fmt: skip
    for k, node in enumerate(added):
        graph.node.insert(found[0] + 1 + k, node)
    return content.SerializeToString()
