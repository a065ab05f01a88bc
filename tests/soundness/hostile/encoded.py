"""Files that are hostile in how they are encoded."""

from __future__ import annotations

import struct

from soundness.hostile.table import by_fields, good, hostile
from support.wire import EIGHT, FOUR, LENGTH, VARINT, Entry, find, inner, tag, varint

MEAN = ("graph", "node:6")
DIM = ("graph", "input", "type", "tensor_type", "shape", "dim:1")
CONV = ("graph", "node:2")


def attribute(fields: list[Entry], node: int, name: str) -> list[Entry]:
    """The fields of a node's attribute."""
    for entry in inner(fields, "graph", f"node:{node}"):
        found = entry.content
        if isinstance(found, list) and find(found, "name").content == name.encode():
            return found
    raise LookupError(name)


def text(number: int, value: bytes) -> Entry:
    return Entry(number, LENGTH, value)


def number(number: int, value: int) -> Entry:
    return Entry(number, VARINT, value)


# ---- tags, wire types, integers

LONG_TAG = varint((3 << 3 | VARINT) + 2**32)  # field 3 to a reader that keeps 32 bits

by_fields(
    "file.tag",
    "a_tag_of_33_bits",
    lambda f: attribute(f, 6, "keepdims").append(Entry(0, VARINT, 0, head=LONG_TAG)),
)
by_fields("file.tag", "a_field_number_of_0", lambda f: f.append(Entry(0, VARINT, 0, head=b"\x00")))
by_fields(
    "file.tag", "a_tag_of_64_bits", lambda f: f.append(Entry(0, VARINT, 0, head=varint(2**64 - 8)))
)
by_fields(
    "file.varint",
    "a_tag_that_is_not_the_shortest",
    lambda f: f.append(Entry(5, VARINT, 0, head=b"\xa8\x00")),
)
by_fields(
    "file.varint",
    "a_length_that_is_not_the_shortest",
    lambda f: setattr(find(f, "producer_name"), "size", 3),
)
by_fields(
    "file.varint",
    "an_integer_that_is_not_the_shortest",
    lambda f: setattr(find(attribute(f, 6, "keepdims"), "i"), "size", 2),
)
by_fields(
    "file.varint",
    "an_integer_of_65_bits",
    lambda f: setattr(find(attribute(f, 6, "keepdims"), "i"), "content", 2**64 + 1),
)
by_fields(
    "file.varint",
    "an_integer_of_70_bits",
    lambda f: setattr(find(attribute(f, 6, "keepdims"), "i"), "content", 2**70 - 1),
)
by_fields(
    "file.varint",
    "an_integer_of_eleven_bytes",
    lambda f: setattr(find(attribute(f, 6, "keepdims"), "i"), "size", 11),
)
by_fields("file.wire", "a_group", lambda f: f.append(Entry(5, 3, b"")))
by_fields("file.wire", "the_end_of_a_group", lambda f: f.append(Entry(5, 4, b"")))
by_fields("file.wire", "wire_type_6", lambda f: f.append(Entry(5, 6, b"")))
by_fields("file.wire", "wire_type_7", lambda f: f.append(Entry(5, 7, b"")))
by_fields("file.wire", "a_text_that_is_an_integer", lambda f: f.append(number(6, 1)))
by_fields("file.wire", "an_integer_that_is_a_text", lambda f: f.append(text(5, b"\x01")))
by_fields("file.wire", "an_integer_of_eight_bytes", lambda f: f.append(Entry(5, EIGHT, bytes(8))))


def of_wire(value: Entry) -> None:
    by_fields(
        "file.wire",
        f"a_float_of_wire_type_{value.wire}",
        lambda f: attribute(f, 3, "epsilon").__setitem__(
            [e.kind.name for e in attribute(f, 3, "epsilon")].index("f"), value
        ),
    )


of_wire(number(2, 1))
of_wire(text(2, struct.pack("<f", 0.5)))
of_wire(Entry(2, EIGHT, struct.pack("<d", 0.5)))

# ---- what ends too early, or goes on

hostile("file.truncated", "the_last_byte_missing", lambda: good()[:-1])
hostile("file.truncated", "a_tag_alone", lambda: good() + tag(6, LENGTH))
hostile("file.truncated", "half_a_tag", lambda: good() + b"\xa8")
hostile("file.truncated", "a_length_beyond_the_end", lambda: good() + tag(6, LENGTH) + b"\x05abc")
hostile(
    "file.truncated",
    "a_length_of_63_bits",
    lambda: good() + tag(6, LENGTH) + varint(2**63) + b"abc",
)
hostile(
    "file.truncated", "four_bytes_of_which_three_are_there", lambda: good() + tag(5, FOUR) + b"abc"
)
by_fields(
    "file.truncated",
    "packed_integers_that_end_inside_one",
    lambda f: inner(f, "graph", "initializer").insert(0, text(1, b"\x81")),
)
by_fields(
    "file.truncated",
    "packed_floats_that_end_inside_one",
    lambda f: inner(f, "graph", "initializer").append(text(4, bytes(7))),
)
hostile("file.tag", "zeros_at_the_end", lambda: good() + bytes(4))
hostile("file.unknown", "a_field_at_the_end", lambda: good() + b"\x7a\x00")

# ---- what stands twice

by_fields(
    "file.repeated", "a_number_twice", lambda f: attribute(f, 6, "keepdims").append(number(3, 0))
)
by_fields("file.repeated", "a_name_twice", lambda f: inner(f, *MEAN).append(text(4, b"ReduceMax")))
by_fields("file.repeated", "a_graph_twice", lambda f: f.append(text(7, b"")))
by_fields(
    "file.repeated", "a_version_twice", lambda f: inner(f, "opset_import").append(number(2, 11))
)
by_fields(
    "file.repeated", "a_type_twice", lambda f: inner(f, "graph", "input").append(text(2, b""))
)
by_fields(
    "file.repeated",
    "a_tensor_type_twice",
    lambda f: inner(f, "graph", "input", "type").append(text(1, b"")),
)
by_fields(
    "file.repeated",
    "a_shape_twice",
    lambda f: inner(f, "graph", "input", "type", "tensor_type").append(text(2, b"")),
)
by_fields(
    "file.repeated",
    "raw_data_twice",
    lambda f: inner(f, "graph", "initializer:1").append(text(9, bytes(72))),
)
by_fields("file.repeated", "a_size_twice", lambda f: inner(f, *DIM).append(number(1, 1)))
by_fields(
    "file.packed",
    "sizes_in_two_packed_parts",
    lambda f: inner(f, "graph", "initializer").extend([text(1, b"\x01"), text(1, b"\x01")]),
)
by_fields(
    "file.packed",
    "sizes_packed_and_by_themselves",
    lambda f: inner(f, "graph", "initializer").extend([number(1, 1), text(1, b"\x01")]),
)
by_fields(
    "file.packed",
    "an_empty_packed_part_and_another",
    lambda f: inner(f, "graph", "initializer").extend([text(1, b""), number(1, 1)]),
)
by_fields("file.oneof", "a_size_and_then_a_name", lambda f: inner(f, *DIM).append(text(2, b"C")))
by_fields(
    "file.oneof",
    "a_name_and_then_a_size",
    lambda f: inner(f, "graph", "input", "type", "tensor_type", "shape", "dim").append(
        number(1, 1)
    ),
)
by_fields("file.oneof", "a_size_and_an_empty_name", lambda f: inner(f, *DIM).append(text(2, b"")))
