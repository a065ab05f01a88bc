"""The network as data, its readers and writers, and its inputs."""

from lastbit.asked import Asked as Asked, Model as Model, with_inputs as with_inputs
from lastbit.graph.inputs import (
    ByteArray as ByteArray,
    ImageArray as ImageArray,
    as_batch as as_batch,
    between as between,
    flip_last_bit as flip_last_bit,
    neighbours as neighbours,
    pixels as pixels,
)
from lastbit.graph.narrow import narrowed as narrowed
from lastbit.graph.network import Network as Network
from lastbit.graph.onnx_reader import read_onnx as read_onnx
from lastbit.graph.whole import bytes_to_probabilities as bytes_to_probabilities
from lastbit.operators import (
    Add as Add,
    Affine as Affine,
    BatchNorm as BatchNorm,
    Curve as Curve,
    Gate as Gate,
    Input as Input,
    Linear as Linear,
    Mean as Mean,
    Node as Node,
    Sigmoid as Sigmoid,
    Silu as Silu,
    Softmax as Softmax,
)
from lastbit.operators.base import Float32Array as Float32Array, Shape as Shape
from lastbit.operators.builder import OnnxBuilder as OnnxBuilder
