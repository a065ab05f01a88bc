"""The fields of onnx.proto, as of onnx 1.23 (IR version 14): what is read, and what is refused.

A field that is neither here is refused as well, because nobody knows what it says. Names, comments
and metadata that exporters write are read, so that they are known to be well-formed.

Map: file
"""

from __future__ import annotations

from lastbit_check.files.protobuf import INT32, INT64, Field, Message

SIZE = range(1, 2**63)
OUTSIDE = "what lies in another file is not covered by the SHA-256; save the model as one file"


def _refused(name: str, why: str = "it is not read") -> Field:
    return Field(name, None, why=why)


ENTRY = Message("StringStringEntryProto", {1: Field("key", str), 2: Field("value", str)})
METADATA = Field("metadata_props", ENTRY, many=True)
DOCUMENTATION = Field("doc_string", str)

TENSOR = Message(
    "TensorProto",
    {
        1: Field("dims", SIZE, many=True),
        2: Field("data_type", INT32),
        3: _refused("segment", "a part of a tensor is not read"),
        4: Field("float_data", float, many=True),
        5: _refused("int32_data"),
        6: _refused("string_data"),
        7: Field("int64_data", INT64, many=True),
        8: Field("name", str),
        9: Field("raw_data", bytes),
        10: _refused("double_data"),
        11: _refused("uint64_data"),
        12: DOCUMENTATION,
        13: _refused("external_data", OUTSIDE),
        14: Field("data_location", range(2)),
        16: METADATA,
    },
)

ATTRIBUTE = Message(
    "AttributeProto",
    {
        1: Field("name", str),
        2: Field("f", float),
        3: Field("i", INT64),
        4: Field("s", str),
        5: Field("t", TENSOR),
        6: _refused("g", "a graph inside an operator is not read"),
        7: Field("floats", float, many=True),
        8: Field("ints", INT64, many=True),
        9: _refused("strings"),
        10: _refused("tensors"),
        11: _refused("graphs", "a graph inside an operator is not read"),
        13: DOCUMENTATION,
        14: _refused("tp"),
        15: _refused("type_protos"),
        20: Field("type", range(15)),
        21: _refused("ref_attr_name", "only the body of a function may refer to an attribute"),
        22: _refused("sparse_tensor"),
        23: _refused("sparse_tensors"),
    },
)

NODE = Message(
    "NodeProto",
    {
        1: Field("input", str, many=True),
        2: Field("output", str, many=True),
        3: Field("name", str),
        4: Field("op_type", str),
        5: Field("attribute", ATTRIBUTE, many=True),
        6: DOCUMENTATION,
        7: Field("domain", str),
        8: Field("overload", str),
        9: METADATA,
        10: _refused("device_configurations"),
    },
)

DIMENSION = Message(
    "Dimension",
    {1: Field("dim_value", SIZE), 2: Field("dim_param", str), 3: Field("denotation", str)},
    oneof=("dim_value", "dim_param"),
)
SHAPE = Message("TensorShapeProto", {1: Field("dim", DIMENSION, many=True)})
ELEMENT = Field("elem_type", range(1, 2**31))
TENSOR_TYPE = Message("TypeProto.Tensor", {1: ELEMENT, 2: Field("shape", SHAPE)})
TYPE = Message(
    "TypeProto",
    {
        1: Field("tensor_type", TENSOR_TYPE),
        4: _refused("sequence_type"),
        5: _refused("map_type"),
        6: Field("denotation", str),
        7: _refused("opaque_type"),
        8: _refused("sparse_tensor_type"),
        9: _refused("optional_type"),
    },
)
VALUE = Message(
    "ValueInfoProto",
    {1: Field("name", str), 2: Field("type", TYPE), 3: DOCUMENTATION, 4: METADATA},
)

GRAPH = Message(
    "GraphProto",
    {
        1: Field("node", NODE, many=True),
        2: Field("name", str),
        5: Field("initializer", TENSOR, many=True),
        10: DOCUMENTATION,
        11: Field("input", VALUE, many=True),
        12: Field("output", VALUE, many=True),
        13: Field("value_info", VALUE, many=True),
        14: _refused("quantization_annotation"),
        15: _refused("sparse_initializer"),
        16: METADATA,
    },
)

OPSET = Message("OperatorSetIdProto", {1: Field("domain", str), 2: Field("version", INT64)})
MODEL = Message(
    "ModelProto",
    {
        1: Field("ir_version", INT64),
        2: Field("producer_name", str),
        3: Field("producer_version", str),
        4: Field("domain", str),
        5: Field("model_version", INT64),
        6: DOCUMENTATION,
        7: Field("graph", GRAPH),
        8: Field("opset_import", OPSET, many=True),
        14: METADATA,
        20: _refused("training_info"),
        25: _refused("functions", "a local function may stand in the place of any operator"),
        26: _refused("configuration"),
    },
)
