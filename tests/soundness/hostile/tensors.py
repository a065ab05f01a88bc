"""Hostile in their tensors: two values, none, or some that others hold."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from soundness.hostile.changes import replaced, tensor
from soundness.hostile.table import by_model

by_model(
    "file.tensor", "raw_data_and_floats", lambda m: tensor(m, "w").float_data.extend([0.0] * 6)
)
by_model(
    "file.tensor",
    "raw_data_of_no_bytes_and_floats",
    lambda m: setattr(tensor(m, "w.bias"), "raw_data", b""),
)
by_model(
    "file.tensor", "raw_data_and_integers", lambda m: tensor(m, "w").int64_data.extend([0] * 6)
)
by_model(
    "file.tensor",
    "floats_in_the_field_of_integers",
    lambda m: (
        tensor(m, "w.bias").ClearField("float_data"),
        tensor(m, "w.bias").int64_data.extend([1, 2, 3]),
    ),
)
by_model(
    "file.tensor",
    "integers_in_the_field_of_floats",
    lambda m: (
        tensor(m, "to").ClearField("raw_data"),
        tensor(m, "to").float_data.extend([0.0, -1.0]),
    ),
)
by_model("file.tensor", "no_data", lambda m: tensor(m, "w").ClearField("raw_data"))
by_model("file.tensor", "too_few_bytes", lambda m: setattr(tensor(m, "w"), "raw_data", bytes(20)))
by_model("file.tensor", "too_many_bytes", lambda m: setattr(tensor(m, "w"), "raw_data", bytes(28)))
by_model(
    "file.tensor",
    "bytes_that_end_inside_a_number",
    lambda m: setattr(tensor(m, "w"), "raw_data", bytes(23)),
)
by_model("file.tensor", "too_few_floats", lambda m: tensor(m, "w.bias").float_data.pop())
by_model(
    "file.tensor",
    "a_size_that_overflows",
    lambda m: tensor(m, "w").dims.__setitem__(slice(None), [2**32, 2**32, 6]),
)
by_model("file.tensor", "seventy_axes", lambda m: tensor(m, "w").dims.extend([1] * 70))
by_model(
    "file.tensor",
    "data_in_another_file",
    lambda m: setattr(tensor(m, "w"), "data_location", TensorProto.EXTERNAL),
)
by_model("file.tensor", "doubles", replaced("w", np.ones((3, 2))))
by_model("file.tensor", "halves", replaced("w", np.ones((3, 2), np.float16)))
by_model("file.tensor", "no_element_type", lambda m: tensor(m, "w").ClearField("data_type"))
by_model(
    "file.tensor", "an_element_type_to_come", lambda m: setattr(tensor(m, "w"), "data_type", 99)
)
by_model(
    "model.weights",
    "a_weight_that_is_no_number",
    replaced("w", np.full((3, 2), np.nan, np.float32)),
)
