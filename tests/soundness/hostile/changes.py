"""Ways to change a model by the library, for the tables beside this."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

Change = Callable[[ModelProto], object]


def node(model: ModelProto, name: str) -> NodeProto:
    return next(n for n in model.graph.node if n.name == name)


def tensor(model: ModelProto, name: str) -> TensorProto:
    return next(t for t in model.graph.initializer if t.name == name)


def attribute(model: ModelProto, of: str, name: str) -> AttributeProto:
    return next(a for a in node(model, of).attribute if a.name == name)


def given(of: str, name: str, value: Any, kind: int | None = None) -> Change:
    """The attribute of a node, as it stands or anew."""

    def change(model: ModelProto) -> None:
        kept = [a for a in node(model, of).attribute if a.name != name]
        del node(model, of).attribute[:]
        made = helper.make_attribute(name, value, attr_type=kind)
        node(model, of).attribute.extend([*kept, made])

    return change


def replaced(name: str, values: Any) -> Change:
    """Another tensor under the name of a constant."""
    return lambda m: tensor(m, name).CopyFrom(numpy_helper.from_array(np.asarray(values), name))


def inserted(before: str, made: NodeProto) -> Change:
    """A node between one and the first of its operands."""

    def change(model: ModelProto) -> None:
        target, new = node(model, before), NodeProto()
        new.CopyFrom(made)
        if not new.input:
            new.input.append(target.input[0])
        target.input[0] = new.output[0]
        model.graph.node.insert([*model.graph.node].index(target), new)

    return change
