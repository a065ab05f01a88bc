"""The table from ONNX operator to the function that brings it into the normal form."""

from collections.abc import Callable, Mapping

from onnx import NodeProto

from lastbit.graph import (
    onnx_elementwise as elementwise,
    onnx_layers as layers,
    onnx_pooling as pooling,
    onnx_renaming as renaming,
)
from lastbit.graph.onnx_building import Building

ALIASES = {"Cast", "Identity", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Dropout"}
"""Operators that give a value another name."""

OPERATORS: Mapping[str, Callable[[Building, NodeProto], None]] = {
    "Conv": layers.conv,
    "Gemm": layers.gemm,
    "MatMul": layers.matmul,
    "BatchNormalization": layers.batch_norm,
    "Sigmoid": elementwise.sigmoid,
    "Add": elementwise.add,
    "Sub": elementwise.sub,
    "Mul": elementwise.mul,
    "Div": elementwise.div,
    "GlobalAveragePool": pooling.global_mean,
    "ReduceMean": pooling.reduce_mean,
    "Softmax": pooling.softmax,
    "Cast": renaming.cast,
    "Identity": renaming.identity,
    "Dropout": renaming.dropout,
    "Flatten": renaming.flatten,
    "Reshape": renaming.reshape,
    "Squeeze": renaming.squeeze,
    "Unsqueeze": renaming.unsqueeze,
}
