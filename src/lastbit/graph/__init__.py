"""The network as data, its readers and writers, and its inputs."""

from lastbit.graph.builder import OnnxBuilder as OnnxBuilder
from lastbit.graph.inputs import (
    ByteArray as ByteArray,
    as_batch as as_batch,
    flip_last_bit as flip_last_bit,
    neighbours as neighbours,
)
from lastbit.graph.narrow import narrowed as narrowed
from lastbit.graph.network import (
    Add as Add,
    Affine as Affine,
    BatchNorm as BatchNorm,
    Float32Array as Float32Array,
    Gate as Gate,
    Input as Input,
    Linear as Linear,
    Mean as Mean,
    Network as Network,
    Node as Node,
    Shape as Shape,
    Sigmoid as Sigmoid,
    Silu as Silu,
    Softmax as Softmax,
)
from lastbit.graph.onnx_reader import read_onnx as read_onnx
