"""Byte tables hold whatever an execution computes, and only what is 0 is certified as 0."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from support.absorbing import BIAS, REFUSED, SPACING, TAPS, absorber
from lastbit.questions.absorbing import absorbed_node
from lastbit.bound.absorb import tables
from lastbit.certificate.write import draft, write
from lastbit.hints import hints_for
from lastbit.graph import read_onnx
from lastbit_check.bytes import GRID, Row, absorbs
from lastbit_check.certificate import ABSORBING, ASSUMPTIONS, digest
from lastbit_check.network import Node, normal_form
from lastbit_check.onnxfile import read
from lastbit_check.verdict import Rejected
from soundness.small import fields_of, put, verdict

U, ETA = Fraction(1, 2**24), Fraction(1, 2**126)
Round = Callable[[Fraction], Fraction]


def nodes_of(model: bytes) -> list[Node]:
    return normal_form(read(model))


@cache
def tables_of(weight: float) -> dict[str, list[Row]]:
    """By node, of the small network with these weights in its stem."""
    return {node.name: table for node, table in tables(nodes_of(absorber(weight=weight)))}


def grid(t: Fraction) -> Fraction:
    """The spacing of binary32 numbers at t."""
    size = abs(t)
    e = size.numerator.bit_length() - size.denominator.bit_length()
    e -= size < Fraction(2) ** e
    return Fraction(2) ** (max(e, -126) - 23)


def rounded(choose: Callable[[Fraction, Fraction, Fraction], Fraction], *, flush: bool) -> Round:
    """Rounding to one of the two neighbours, as ``choose`` does, with flush-to-zero or not."""

    def apply(t: Fraction) -> Fraction:
        g = grid(t)
        low, high = t // g * g, -(-t // g) * g
        r = choose(t, low, high)
        return Fraction(0) if flush and abs(r) < ETA else r

    return apply


def nearest(ties_up: bool) -> Callable[[Fraction, Fraction, Fraction], Fraction]:
    def choose(t: Fraction, low: Fraction, high: Fraction) -> Fraction:
        if t - low == high - t:
            return high if ties_up else low
        return low if t - low < high - t else high

    return choose


def farthest(up: bool) -> Callable[[Fraction, Fraction, Fraction], Fraction]:
    """The neighbour on one side wherever |r - t| <= u|t| + eta allows it."""

    def choose(t: Fraction, low: Fraction, high: Fraction) -> Fraction:
        wanted, other = (high, low) if up else (low, high)
        return wanted if abs(wanted - t) <= U * abs(t) + ETA else other

    return choose


ROUNDINGS: dict[str, Round] = {
    f"{name}{', flush' * flush}": rounded(choose, flush=flush)
    for flush in (False, True)
    for name, choose in {
        "ties up": nearest(True),
        "ties down": nearest(False),
        "as far up as is allowed": farthest(True),
        "as far down as is allowed": farthest(False),
    }.items()
}


def ways(v: Fraction, c: Fraction, r: Round) -> Iterator[Fraction]:
    """v / c: as a quotient, and as a product with the rounded reciprocal."""
    yield r(v / c)
    yield r(v * r(1 / c))


def sums(w: Fraction, x: Fraction, b: Fraction, r: Round) -> Iterator[Fraction]:
    """w x + b with exact zeros: two roundings in any order of the zeros, or fused."""
    yield r(r(w * x) + b)
    yield r(r(r(w * x)) + r(b))
    yield r(w * x + b)


def held(table: list[Row], unit: int, byte: int, value: Fraction) -> bool:
    low, high = (Fraction(n, 2**GRID) for n in table[unit][byte])
    return low <= value <= high


@pytest.mark.parametrize("rounding", ROUNDINGS.values(), ids=ROUNDINGS)
@pytest.mark.parametrize("weight", [127 * SPACING, 200.7 * SPACING, -3e-9, 1e-38])
def test_a_table_holds_every_execution_of_every_byte(rounding: Round, weight: float) -> None:
    found = tables_of(weight)
    w, b = Fraction(float(np.float32(weight))), Fraction(float(np.float32(BIAS)))
    back, shift = Fraction(2) ** 47, Fraction(float(np.float32(-(2.0**46) * BIAS)))
    near = "halved" in found
    for byte in range(256):
        for x in ways(Fraction(byte), Fraction(255), rounding):
            assert held(found["pixels"], 0, byte, x)
            for z in sums(w, x, b, rounding):
                assert held(found["stem"], 0, byte, z)
                if not near:
                    continue
                half = rounding(z / 2)
                assert held(found["halved"], 0, byte, half)
                assert all(held(found["back"], 0, byte, y)
                           for y in sums(back, half, shift, rounding))  # fmt: skip


def test_the_layer_gives_one_number_to_each_pair_in_every_execution() -> None:
    """What the certificate says, without the checker: 127 exact numbers, and the pairs agree."""
    w, b = Fraction(127 * SPACING), Fraction(BIAS)
    for byte, rounding in itertools.product(range(256), ROUNDINGS.values()):
        for x in ways(Fraction(byte), Fraction(255), rounding):
            expected = b + (byte // 2) * Fraction(SPACING)
            assert {*sums(w, x, b, rounding)} == {expected}


def test_tables_end_where_a_unit_reads_two_pixels() -> None:
    names = [node.name for node, _ in tables(nodes_of(absorber()))]
    assert names == ["image", "pixels", "stem", "halved", "back"]
    assert "stem" not in [node.name for node, _ in tables(nodes_of(absorber(second=1e-9)))]


def alike(table: list[Row]) -> list[bool]:
    """Of each unit, whether all bytes have one interval, as where it reads padding only."""
    return [len({*row}) == 1 for row in table]


def test_what_reads_padding_is_the_same_for_all_bytes() -> None:
    """Of 2 x 2 units, those of the first row or column where the tap is in that of the kernel."""
    for tap, padded in (((0, 0), 3), ((0, 1), 2), ((1, 0), 2), ((1, 1), 0)):
        nodes = nodes_of(absorber(taps=(tap,)))
        found = {node.name: table for node, table in tables(nodes)}
        assert sum(alike(found["stem"])) == padded, tap
        for unit in np.flatnonzero(alike(found["stem"])).tolist():
            assert held(found["stem"], unit, 7, Fraction(BIAS))
        absorbs(nodes, "stem")


def test_an_odd_image_ends_beside_its_last_tap() -> None:
    nodes = nodes_of(absorber(side=5, taps=TAPS))
    stem = {node.name: table for node, table in tables(nodes)}["stem"]
    assert np.reshape(alike(stem), (len(TAPS), -1)).any(axis=1).tolist() == [
        False,
        True,
        True,
        True,
    ]


def test_it_absorbs() -> None:
    model = absorber()
    assert absorbed_node(model) == "stem"
    absorbs(nodes_of(model), "stem")
    with pytest.raises(Rejected, match=r"absorb\.table"):  # the checker's tables end before
        absorbs(nodes_of(model), "halved")


@pytest.mark.parametrize(("changes", "rule"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_is_refused(changes: dict, rule: str) -> None:
    model = absorber(**changes)
    name = "normed" if "batch_norm" in changes else "stem"
    with pytest.raises(Rejected) as caught:
        absorbs(nodes_of(model), name)
    assert (caught.value.rule, caught.value.node) == (rule, name)
    assert absorbed_node(model) == ""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return certified(tmp_path, absorber())


def certified(folder: Path, model: bytes) -> Path:
    (folder / "model.onnx").write_bytes(model)
    hints = hints_for(read_onnx(folder / "model.onnx"))
    write(folder / "certificate.json",
          draft(model, replace(hints, absorbed=absorbed_node(model))))  # fmt: skip
    return folder


def test_the_certificate_claims_0_and_names_what_it_assumes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = fields_of(folder)
    assert verdict(folder, capsys) == (0, "")
    assert float.fromhex(fields["claim"]["upper"]) == 0
    assert fields["absorbed"] == "stem"
    assert tuple(fields["assumptions"]) == ASSUMPTIONS + ABSORBING


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("absorbed", "pixels", "absorb.bytes"),
        ("absorbed", "bent", "absorb.table"),
        ("absorbed", "nowhere", "absorb.table"),
        ("absorbed", "", "claim.upper"),
        ("absorbed", 3, "certificate.fields"),
        ("absorbed", None, "certificate.assumptions"),
        ("assumptions", list(ASSUMPTIONS), "certificate.assumptions"),
    ],
)
def test_another_node_or_fewer_assumptions_are_rejected(
    folder: Path, capsys: pytest.CaptureFixture[str], field: str, value: object, rule: str
) -> None:
    fields = fields_of(folder)
    fields[field] = value
    if value is None:
        del fields[field]
    put(folder, fields, seal=True)
    assert verdict(folder, capsys) == (1, rule)


@pytest.mark.parametrize(("changes", "rule"), REFUSED.values(), ids=REFUSED)
def test_the_certificate_of_another_network_is_rejected(
    folder: Path, capsys: pytest.CaptureFixture[str], changes: dict, rule: str
) -> None:
    """Claim and hints are those of the network that absorbs; the model is one that does not."""
    (folder / "model.onnx").write_bytes(absorber(**changes))
    fields = fields_of(folder)
    put(folder, fields, seal=True)
    assert verdict(folder, capsys) in ((1, rule), (1, "hint.node"))


def test_an_overflow_is_still_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = read_changed(folder)
    (folder / "model.onnx").write_bytes(model)
    put(folder, fields_of(folder), seal=True)
    assert verdict(folder, capsys) == (1, "finite.weights")


def read_changed(folder: Path) -> bytes:
    """The model with the weights of ``mix`` near the largest number."""
    import onnx
    from onnx import numpy_helper

    content = onnx.load(str(folder / "model.onnx"))
    for tensor in content.graph.initializer:
        if tensor.name == "mix.weight":
            tensor.CopyFrom(numpy_helper.from_array(
                np.full(tuple(tensor.dims), 3e38, np.float32), tensor.name))  # fmt: skip
    return content.SerializeToString()


def test_digests_are_over_the_new_field(folder: Path) -> None:
    fields = json.loads((folder / "certificate.json").read_text())
    assert digest({**fields, "absorbed": "halved"}) != fields["digest"]
