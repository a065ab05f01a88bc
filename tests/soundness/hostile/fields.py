"""Hostile in single fields: unknown or unread ones, numbers out of range, text, other formats."""

from __future__ import annotations

from soundness.hostile.encoded import CONV, DIM, MEAN, attribute, number, text
from soundness.hostile.table import by_fields, good, hostile
from support.wire import find, inner, to_bytes, tree

PLACES = {
    "model": (), "graph": ("graph",), "node": MEAN, "attribute": (*CONV, "attribute"),
    "tensor": ("graph", "initializer"), "value": ("graph", "input"),
    "type": ("graph", "input", "type"), "tensor_type": ("graph", "input", "type", "tensor_type"),
    "shape": ("graph", "input", "type", "tensor_type", "shape"), "dimension": DIM,
    "opset": ("opset_import",), "metadata": ("metadata_props",),
}  # fmt: skip
for place, path in PLACES.items():
    by_fields(
        "file.unknown",
        f"a_field_that_no_{place}_has",
        lambda f, path=path: inner(f, *path).append(number(1000, 1)),
    )
by_fields(
    "file.unknown",
    "a_reserved_field_of_the_graph",
    lambda f: inner(f, "graph").append(number(3, 1)),
)

REFUSED = {
    "functions": ((), 25), "training_info": ((), 20), "configuration": ((), 26),
    "sparse_initializer": (("graph",), 15), "quantization_annotation": (("graph",), 14),
    "device_configurations": (MEAN, 10), "a_segment": (("graph", "initializer"), 3),
    "int32_data": (("graph", "initializer"), 5), "string_data": (("graph", "initializer"), 6),
    "double_data": (("graph", "initializer"), 10), "uint64_data": (("graph", "initializer"), 11),
    "external_data": (("graph", "initializer"), 13),
    "a_sequence_type": (("graph", "input", "type"), 4),
    "a_map_type": (("graph", "input", "type"), 5),
    "an_optional_type": (("graph", "input", "type"), 9),
    "a_sparse_type": (("graph", "input", "type"), 8),
    "an_opaque_type": (("graph", "input", "type"), 7),
    "a_graph_in_an_attribute": ((*CONV, "attribute"), 6),
    "strings_in_an_attribute": ((*CONV, "attribute"), 9),
    "tensors_in_an_attribute": ((*CONV, "attribute"), 10),
    "graphs_in_an_attribute": ((*CONV, "attribute"), 11),
    "a_type_in_an_attribute": ((*CONV, "attribute"), 14),
    "types_in_an_attribute": ((*CONV, "attribute"), 15),
    "a_sparse_tensor_in_an_attribute": ((*CONV, "attribute"), 22),
    "sparse_tensors_in_an_attribute": ((*CONV, "attribute"), 23),
    "a_reference_to_an_attribute": ((*CONV, "attribute"), 21),
}  # fmt: skip
for name, (path, place) in REFUSED.items():
    by_fields(
        "file.field",
        f"{name}_that_is_empty",
        lambda f, path=path, place=place: inner(f, *path).append(text(place, b"")),
    )

# ---- numbers out of range, text

by_fields(
    "file.range",
    "an_element_type_of_33_bits",
    lambda f: setattr(find(inner(f, "graph", "initializer"), "data_type"), "content", 2**32 + 1),
)
by_fields(
    "file.range",
    "an_element_type_of_32_bits_and_no_sign",
    lambda f: setattr(
        find(inner(f, "graph", "input", "type", "tensor_type"), "elem_type"), "content", 2**31
    ),
)
by_fields(
    "file.range",
    "a_kind_of_attribute_to_come",
    lambda f: setattr(find(attribute(f, 6, "keepdims"), "type"), "content", 15),
)
by_fields(
    "file.range",
    "a_negative_kind_of_attribute",
    lambda f: setattr(find(attribute(f, 6, "keepdims"), "type"), "content", -1),
)
by_fields(
    "file.range",
    "a_place_of_data_to_come",
    lambda f: inner(f, "graph", "initializer").append(number(14, 2)),
)
by_fields(
    "file.range",
    "a_size_of_0_in_the_input",
    lambda f: setattr(find(inner(f, *DIM), "dim_value"), "content", 0),
)
by_fields(
    "file.range",
    "a_negative_size_in_the_input",
    lambda f: setattr(find(inner(f, *DIM), "dim_value"), "content", -1),
)
by_fields(
    "file.range",
    "a_negative_size_of_a_tensor",
    lambda f: setattr(find(inner(f, "graph", "initializer:1"), "dims"), "content", -2),
)
by_fields(
    "file.range",
    "a_tensor_of_no_numbers",
    lambda f: setattr(find(inner(f, "graph", "initializer:1"), "dims"), "content", 0),
)
by_fields(
    "file.text",
    "a_name_that_is_not_utf8",
    lambda f: setattr(find(inner(f, *MEAN), "name"), "content", b"m\xff"),
)
by_fields(
    "file.text",
    "half_of_a_surrogate_pair",
    lambda f: setattr(find(inner(f, *MEAN), "name"), "content", b"m\xed\xa0\x80"),
)
by_fields(
    "file.text",
    "a_letter_in_too_many_bytes",
    lambda f: setattr(find(inner(f, *MEAN), "name"), "content", b"\xc1\xa1"),
)
by_fields(
    "file.text",
    "a_name_that_ends_for_some",
    lambda f: setattr(find(inner(f, *MEAN), "output"), "content", b"m\x00n"),
)
by_fields("file.text", "a_comment_that_ends_for_some", lambda f: f.append(text(6, b"a\x00b")))
by_fields(
    "file.text",
    "a_text_attribute_that_is_not_utf8",
    lambda f: inner(f, *CONV).append(
        text(5, to_bytes([text(1, b"auto_pad"), text(4, b"\xff"), number(20, 3)]))
    ),
)

# ---- other formats


def of_producer(name: bytes) -> bytes:
    fields = tree(good())
    find(fields, "producer_name").content = name
    return to_bytes(fields)


hostile("file.format", "an_onnx_runtime_flatbuffer_as_well", lambda: of_producer(b"ORTM"))
hostile("file.format", "a_tensorflow_lite_flatbuffer_as_well", lambda: of_producer(b"TFL3 model"))
hostile("file.format", "nothing", lambda: b"")
hostile("file.format", "another_field_first", lambda: to_bytes(tree(good())[1:] + tree(good())[:1]))
hostile("file.format", "json", lambda: b'{"irVersion": "8"}')
hostile("file.format", "text_of_protocol_buffers", lambda: b"ir_version: 8\ngraph {}\n")
hostile("file.format", "an_archive", lambda: b"PK\x03\x04" + good())
