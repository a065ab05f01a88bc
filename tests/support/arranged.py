"""Random small networks of operators that arrange, pool and combine, in any layout, from a seed.

Bytes in and probabilities out; or float32 numbers in and logits out, for other questions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

Sizes = tuple[int, ...]


class ArrangedNetwork:
    """Rolls dice: each step makes one tensor of another, whose sizes (without batch) are known."""

    def __init__(
        self, seed: int, *, bytes_in: bool = True, steps: int = 6, opset: int = 17
    ) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes, self.constants = list[NodeProto](), list[TensorProto]()
        self.sizes = dict[str, Sizes]()
        self.opset, self.bytes_in = opset, bytes_in
        self.shape = (int(self.random.integers(1, 3)), *map(int, self.random.integers(4, 7, 2)))
        self.sizes["image"] = self.shape
        x = "image"
        if bytes_in:
            x = self.op("Cast", [x], self.shape, to=TensorProto.FLOAT)
            x = self.op("Div", [x, self.constant(np.float32(255))], self.shape)
        x = self.convolution(x)
        for _ in range(steps):
            rules = (self.convolution, self.pool, self.turned, self.reshaped, self.concat,
                     self.sliced, self.split, self.padded, self.shifted, self.scaled, self.minus,
                     self.times, self.rows, self.curved, self.normed, self.reduced)  # fmt: skip
            x = rules[self.random.integers(len(rules))](x)
        x = self.op("Flatten", [x], (int(np.prod(self.sizes[x])),), axis=1)
        width = self.sizes[x][0]
        weight = self.random.normal(size=(width, 3)) / np.sqrt(width)
        x = self.op("Gemm", [x, self.constant(weight), self.constant(np.zeros(3))], (3,))
        self.output = x if not bytes_in else self.op("Softmax", [x], (3,), axis=1)

    def model(self) -> ModelProto:
        """The finished model."""
        kind = TensorProto.UINT8 if self.bytes_in else TensorProto.FLOAT
        graph = helper.make_graph(
            self.nodes,
            "arranged",
            [helper.make_tensor_value_info("image", kind, ["N", *self.shape])],
            [helper.make_tensor_value_info(self.output, TensorProto.FLOAT, ["N", 3])],
            self.constants,
        )
        return helper.make_model(
            graph, ir_version=8, opset_imports=[helper.make_opsetid("", self.opset)]
        )

    def save(self, path: Path) -> Path:
        """Write the model."""
        path.write_bytes(self.model().SerializeToString())
        return path

    def op(self, kind: str, inputs: list[str], sizes: Sizes, **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        self.sizes[name] = tuple(int(n) for n in sizes)
        return name

    def constant(self, values: object, kind: type = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def spatial(self, x: str) -> str:
        """With three axes."""
        sizes = self.sizes[x]
        if len(sizes) == 3:
            return x
        three = (*sizes, 1, 1)[:3] if len(sizes) < 3 else (*sizes[:2], int(np.prod(sizes[2:])))
        return self.op("Reshape", [x, self.constant([0, *three], np.int64)], three)

    def convolution(self, x: str) -> str:
        x = self.spatial(x)
        channels, height, width = self.sizes[x]
        outputs, dilation = int(self.random.integers(2, 5)), 1 + int(self.random.random() < 0.3)
        weight = self.random.normal(size=(outputs, channels, 2, 3)) / np.sqrt(6 * channels)
        reach = dilation, 2 * dilation
        pads = [0, 1, reach[0], 2 * dilation - 1]
        return self.op("Conv", [x, self.constant(weight), self.constant(weight[:, 0, 0, 0])],
                       (outputs, height, width), pads=pads, dilations=[dilation] * 2)  # fmt: skip

    def pool(self, x: str) -> str:
        x = self.spatial(x)
        channels, height, width = self.sizes[x]
        if min(height, width) < 2:
            return x
        sizes = (channels, height // 2, width - 1)
        if self.random.random() < 0.5:
            return self.op("MaxPool", [x], sizes, kernel_shape=[2, 2], strides=[2, 1])
        return self.op("AveragePool", [x], sizes, kernel_shape=[2, 2], strides=[2, 1])

    def turned(self, x: str) -> str:
        sizes = self.sizes[x]
        order = [int(k) for k in self.random.permutation(len(sizes))]
        perm = [0, *(k + 1 for k in order)]
        return self.op("Transpose", [x], tuple(sizes[k] for k in order), perm=perm)

    def reshaped(self, x: str) -> str:
        count = int(np.prod(self.sizes[x]))
        first = int(self.random.choice([k for k in range(1, count + 1) if count % k == 0]))
        rest = count // first
        second = int(self.random.choice([k for k in range(1, rest + 1) if rest % k == 0]))
        sizes = (first, second, rest // second)[: 3 if self.random.random() < 0.8 else 2]
        sizes = sizes if len(sizes) == 3 else (first, rest)
        return self.op("Reshape", [x, self.constant([0, *sizes], np.int64)], sizes)

    def concat(self, x: str) -> str:
        others = [name for name, sizes in self.sizes.items()
                  if sizes[1:] == self.sizes[x][1:] and name != "image"]  # fmt: skip
        other = str(self.random.choice(others))
        sizes = (self.sizes[x][0] + self.sizes[other][0], *self.sizes[x][1:])
        return self.op("Concat", [x, other], sizes, axis=1)

    def sliced(self, x: str) -> str:
        axis = int(self.random.integers(len(self.sizes[x])))
        size = self.sizes[x][axis]
        if size < 2:
            return x
        start, step = int(self.random.integers(0, size - 1)), int(self.random.choice([1, 2, -1]))
        ends = (start, 2**40) if step > 0 else (2**40, -(2**40))
        if self.opset < 10:
            step, ends = 1, (start, 2**40)
        length = len(range(size)[start::step]) if step > 0 else size
        sizes = (*self.sizes[x][:axis], length, *self.sizes[x][axis + 1 :])
        if self.opset < 10:
            return self.op("Slice", [x], sizes, starts=ends[:1], ends=ends[1:], axes=[axis + 1])
        numbers = [self.constant([n], np.int64) for n in (*ends, axis + 1, step)]
        return self.op("Slice", [x, *numbers], sizes)

    def split(self, x: str) -> str:
        size = self.sizes[x][0]
        if size < 2:
            return x
        names, at = [f"s{len(self.nodes)}.{k}" for k in range(2)], size // 2
        parts = at, size - at
        if self.opset < 13:
            node = helper.make_node("Split", [x], names, axis=1, split=parts)
        else:
            node = helper.make_node("Split", [x, self.constant(parts, np.int64)], names, axis=1)
        self.nodes.append(node)
        for name, part in zip(names, parts, strict=True):
            self.sizes[name] = (part, *self.sizes[x][1:])
        return names[int(self.random.integers(2))]

    def padded(self, x: str) -> str:
        rank = len(self.sizes[x]) + 1
        pads = self.random.integers(0, 2, 2 * rank)
        pads[[0, rank]] = 0
        fill = np.float32(self.random.choice([0.0, 0.5]))
        sizes = tuple(n + int(a + b) for n, a, b in zip(
            self.sizes[x], pads[1:rank], pads[rank + 1 :], strict=True))  # fmt: skip
        if self.opset < 11:
            return self.op("Pad", [x], sizes, pads=pads.tolist(), value=float(fill))
        return self.op("Pad", [x, self.constant(pads, np.int64), self.constant(fill)], sizes)

    def beside(self, x: str) -> np.ndarray:
        """Constants that fit: one, one for each of an axis, or one for each number."""
        sizes = self.sizes[x]
        kept = self.random.random(len(sizes)) < 0.5
        return self.random.normal(size=[n if k else 1 for n, k in zip(sizes, kept, strict=True)])

    def shifted(self, x: str) -> str:
        operands = [x, self.constant(self.beside(x))]
        kind = str(self.random.choice(["Add", "Sub"]))
        return self.op(kind, operands[:: int(self.random.choice([1, -1]))], self.sizes[x])

    def scaled(self, x: str) -> str:
        by = self.beside(x)
        if self.random.random() < 0.5:
            return self.op("Div", [x, self.constant(np.abs(by) + 0.5)], self.sizes[x])
        return self.op("Mul", [x, self.constant(by)], self.sizes[x])

    def alike(self, x: str) -> str:
        """A tensor that can stand beside it, itself or a part of another one."""
        full = self.sizes[x]
        names = [
            name
            for name, sizes in self.sizes.items()
            if name != "image"
            and len(sizes) == len(full)
            and all(n in (1, m) for n, m in zip(sizes, full, strict=True))
        ]
        return str(self.random.choice(names))

    def minus(self, x: str) -> str:
        return self.op(str(self.random.choice(["Sub", "Add"])), [x, self.alike(x)], self.sizes[x])

    def times(self, x: str) -> str:
        s = self.alike(x)
        return self.op("Mul", [x, self.op("Sigmoid", [s], self.sizes[s])], self.sizes[x])

    def rows(self, x: str) -> str:
        inner = self.sizes[x][-1]
        weight = self.random.normal(size=(inner, 3)) / np.sqrt(inner)
        return self.op("MatMul", [x, self.constant(weight)], (*self.sizes[x][:-1], 3))

    def curved(self, x: str) -> str:
        return self.op(str(self.random.choice(["Relu", "Sigmoid"])), [x], self.sizes[x])

    def normed(self, x: str) -> str:
        channels = self.sizes[x][0]
        gamma, beta, mean = self.random.normal(size=(3, channels))
        given = [gamma, beta, mean, self.random.uniform(0.5, 2, channels)]
        return self.op("BatchNormalization", [x, *map(self.constant, given)], self.sizes[x])

    def reduced(self, x: str) -> str:
        if len(self.sizes[x]) < 2:
            return x
        axis = int(self.random.integers(len(self.sizes[x])))
        keep = bool(self.random.random() < 0.5)
        kept = (1,) if keep else ()
        sizes = (*self.sizes[x][:axis], *kept, *self.sizes[x][axis + 1 :])
        if self.opset < 18:
            return self.op("ReduceMean", [x], sizes, axes=[axis + 1], keepdims=int(keep))
        axes = self.constant([axis + 1], np.int64)
        return self.op("ReduceMean", [x, axes], sizes, keepdims=int(keep))
