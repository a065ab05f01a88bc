"""ONNX's own node cases: what the reader makes of each computes what ONNX says, or is refused."""

from pathlib import Path

import numpy as np
import pytest

from lastbit.errors import LastbitError
from lastbit.float32 import execute
from lastbit.float32.rewritten import execute_rewritten
from lastbit.graph import Asked, Network, read_onnx
from operators.backend import Array, Case, asked, cases, lifted

REFUSED: dict[str, tuple[str, ...]] = {
    "of tensors of [5] axes": (
        "averagepool_3d_default",
        "averagepool_3d_dilations_large_count_include_pad_is_0_ceil_mode_is_False",
        "averagepool_3d_dilations_large_count_include_pad_is_0_ceil_mode_is_True",
        "averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_False",
        "averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True",
        "averagepool_3d_dilations_small",
        "maxpool_3d_default",
        "maxpool_3d_dilations",
        "maxpool_3d_dilations_use_ref_impl",
        "maxpool_3d_dilations_use_ref_impl_large",
    ),
    "BatchNormalization of 3 outputs": (
        "batchnorm_epsilon_training_mode",
        "batchnorm_example_training_mode",
    ),
    "element type 9": (
        "training_dropout",
        "training_dropout_default",
        "training_dropout_default_mask",
        "training_dropout_mask",
        "training_dropout_zero_ratio",
        "training_dropout_zero_ratio_mask",
    ),
    "Expand to": ("expand_dim_changed",),
    "which mixes images": (
        *("flatten_axis0", "flatten_axis2", "flatten_axis3"),
        *("flatten_negative_axis1", "flatten_negative_axis2", "flatten_negative_axis4"),
    ),
    "Gemm with a bias of shape (3, 4)": ("gemm_default_matrix_bias",),
    "Gemm with transA 1": ("gemm_all_attributes", "gemm_transposeA"),
    "Clip between 2.0 and 1.0": ("clip_min_greater_than_max",),
    "of 1 tensors that are no constants": ("ceil", "ceil_example", "floor", "floor_example"),
    "of 2 tensors that are no constants": (
        *("matmul_1d_3d", "matmul_3d", "matmul_4d", "matmul_bcast"),
    ),
    "Invalid value(1) for attribute 'axis'": ("matmul_1d_1d",),
    "rule file.range: graph: initializer: dims: it is 0": (
        *("reduce_sum_empty_axes_input_noop", "reduce_sum_empty_axes_input_noop_example"),
    ),
    "Pow by several numbers": (
        *("pow", "pow_example", "pow_bcast_array", "pow_types_float32_int64"),
    ),
    "tensor 'y' is of element type": (
        *("pow_types_float32_int32", "pow_types_float32_uint32", "pow_types_float32_uint64"),
    ),
    "Softmax over axis": (
        *("softmax_axis_0", "softmax_axis_1", "softmax_axis_2"),
        *("softmax_default_axis", "softmax_negative_axis"),
    ),
    "Unrecognized attribute: mode": (
        *("spacetodepth_crd_mode_example", "spacetodepth_dcr_mode_example"),
    ),
}
"""Why a case is refused in every form of it, and the cases: of several images at once, of volumes,
of training, of two computed tensors, of a newer operator set, and of no axes."""


def forms(name: str) -> list[tuple[Case, list[str]]]:
    """As it stands and lifted, with one computed input and with all."""
    both = [case for case in (cases()[name], lifted(cases()[name])) if case]
    return [(case, variable) for case in both for variable in case.variable()]


def computes_the_same(case: Case, network: Network, images: Array) -> None:
    """Operator by operator, and in normal form; some expected outputs have four digits."""
    ends = network.output if case.node.op_type == "Softmax" else network.logits
    for seed, image in enumerate(images.reshape(-1, *network.input_shape)):
        expected = case.output[seed].ravel()
        if ends == network.logits:
            expected = np.concatenate([expected, expected])
        _, values = execute(network, image, keep=True)
        made = execute_rewritten(network.normal, image, seed=seed, question=network.question)
        for found in (values[ends], made[ends]):
            error = np.abs(found.ravel() - expected).max()
            assert error < 1e-4 * max(1.0, np.abs(expected).max()), (case.name, error)


@pytest.mark.parametrize("name", cases())
def test_a_case_is_read_right_or_refused_for_its_reason(tmp_path: Path, name: str) -> None:
    reasons, read = list[str](), 0
    for case, variable in forms(name):
        model, images = asked(case, variable, tmp_path)
        try:
            network = read_onnx(model)
        except LastbitError as error:
            reasons.append(str(error))
            continue
        computes_the_same(case, network, images)
        read += 1
    why = [reason for reason, names in REFUSED.items() if name.removeprefix("test_") in names]
    assert len(why) == (read == 0), (name, reasons)
    assert all(any(reason in said for said in reasons) for reason in why), reasons


def test_what_is_refused_is_listed_once() -> None:
    listed = [name for names in REFUSED.values() for name in names]
    assert len({*listed}) == len(listed)
    assert {f"test_{name}" for name in listed} <= {*cases()}
    assert len(cases()) > 200


def test_more_axes_than_a_tensor_has_are_refused(tmp_path: Path) -> None:
    """Expand of (N, 3) to (5, 1, 3) has five images: it was once read as (1, 3)."""
    case = cases()["test_expand_dim_changed"]
    model, _ = asked(case, case.numbers, tmp_path)
    assert isinstance(model, Asked)
    with pytest.raises(LastbitError, match="of a tensor of 2 axes"):
        read_onnx(model)
