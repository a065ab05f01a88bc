"""A network as data: the operators of a file, one node each, and the checker's normal form.

Every value has a static shape (C, H, W); the batch axis of the file is dropped, and a vector is
(C, 1, 1). A node is named after the ONNX tensor that its operator writes, so that a bound, a
certificate and the file can be held side by side. Arrays are read-only float32.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from lastbit.operators import Node
from lastbit_check.network import Network as Normal, Shape
from lastbit_check.question import LAST_BIT, Question


@final
@dataclass(frozen=True, eq=False)
class Network:
    """A network as its file writes it.

    Attributes:
        nodes: in the order of the file; `Input` first, `Softmax` last.
        input_shape: (C, H, W) of the image.
        output: name of the last node.
        sha256: of the ONNX file, which is the model's name.
        question: what its inputs are.
        logits_out: the file ends with these; its softmax is the question's.
        form: the normal form, whose nodes are some of these by name; None for a network that was
            made of another one, and has no file.
    """

    nodes: tuple[Node, ...]
    input_shape: Shape
    output: str
    sha256: str
    form: Normal | None = None
    question: Question = LAST_BIT
    logits_out: bool = False

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __getitem__(self, name: str) -> Node:
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    @property
    def normal(self) -> Normal:
        """The checker's normal form of the file."""
        if self.form is None:
            raise ValueError("a network that is not read from a file has no normal form")
        return self.form

    @property
    def classes(self) -> int:
        return self.nodes[-1].shape[0]

    @property
    def logits(self) -> str:
        """Name of the node whose value softmax reads."""
        return self.nodes[-1].inputs[0]
