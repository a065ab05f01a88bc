"""Byte tables hold whatever an execution computes, and only what is 0 is certified as 0."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from lastbit.certificate.write import draft, write
from lastbit.float32.rewritten import execute_rewritten
from lastbit.graph import OnnxBuilder, read_onnx
from lastbit.hints import hints_for
from lastbit.questions.absorbing import absorbed_node, tables
from lastbit_check.certificate import digest
from lastbit_check.check import network_in
from lastbit_check.network import Network
from lastbit_check.question import ANY_TWO, EXECUTIONS, LAST_BIT, SAME_PROGRAM
from lastbit_check.refine import byte_tables
from lastbit_check.refine.byte_tables import GRID, Row, absorbs
from lastbit_check.verdict import Rejected
from soundness.attacks import flipped
from soundness.small import fields_of, put, verdict
from support.absorbing import BIAS, REFUSED, REWRITTEN, SPACING, TAPS, absorber, named

U, ETA = Fraction(1, 2**24), Fraction(1, 2**126)
Round = Callable[[Fraction], Fraction]
EVERY = {**REFUSED, **REWRITTEN}


@cache
def tables_of(weight: float) -> dict[str, list[Row]]:
    """By node, of the small network with these weights in its stem."""
    return {node.name: table for node, table in tables(network_in(absorber(weight=weight)))}


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
@pytest.mark.parametrize(
    "weight",
    [127 * SPACING, *(pytest.param(w, marks=pytest.mark.slow) for w in (200.7 * SPACING, -3e-9)),
     1e-38],
)  # fmt: skip
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
    names = [node.name for node, _ in tables(network_in(absorber()))]
    assert names == ["image", "pixels", "stem", "halved", "back"]
    assert "stem" not in [node.name for node, _ in tables(network_in(absorber(second=1e-9)))]


def alike(table: list[Row]) -> list[bool]:
    """Of each unit, whether all bytes have one interval, as where it reads padding only."""
    return [len({*row}) == 1 for row in table]


def test_what_reads_padding_is_the_same_for_all_bytes() -> None:
    """Of 2 x 2 units, those of the first row or column where the tap is in that of the kernel."""
    for tap, padded in (((0, 0), 3), ((0, 1), 2), ((1, 0), 2), ((1, 1), 0)):
        network = network_in(absorber(taps=(tap,)))
        found = {node.name: table for node, table in tables(network)}
        assert sum(alike(found["stem"])) == padded, tap
        for unit in np.flatnonzero(alike(found["stem"])).tolist():
            assert held(found["stem"], unit, 7, Fraction(BIAS))
        absorbs(network, LAST_BIT, "stem")


def test_an_odd_image_ends_beside_its_last_tap() -> None:
    network = network_in(absorber(side=5, taps=TAPS))
    stem = {node.name: table for node, table in tables(network)}["stem"]
    assert np.reshape(alike(stem), (len(TAPS), -1)).any(axis=1).tolist() == [
        False,
        True,
        True,
        True,
    ]


def test_it_absorbs() -> None:
    model = absorber()
    assert absorbed_node(model) == "stem"
    absorbs(network_in(model), LAST_BIT, "stem")
    with pytest.raises(Rejected, match=r"absorb\.table"):  # the checker's tables end before
        absorbs(network_in(model), LAST_BIT, "halved")


@pytest.mark.parametrize(("changes", "rule"), EVERY.values(), ids=EVERY)
def test_what_does_not_is_refused(changes: dict, rule: str) -> None:
    network, name = network_in(absorber(**changes)), named(changes)
    with pytest.raises(Rejected) as caught:
        absorbs(network, LAST_BIT, name)
    assert (caught.value.rule, caught.value.node) == (rule, name)
    assert absorbed_node(absorber(**changes)) == ""
    for other in {"stem", "halved", "pixels"} - {name}:
        with pytest.raises(Rejected, match=r"absorb\."):
            absorbs(network, LAST_BIT, other)


def told(network: Network, name: str, seeds: range) -> int:
    """In how many rewritings a node tells the bytes 2k and 2k + 1 apart, at some k."""
    found, image = 0, np.full(network.input.shape, 0, np.uint8)
    image.flat[:] = np.arange(0, 16 * image.size, 16)
    pairs = [image, *(flipped(image, place) for place in range(image.size))]
    for seed in seeds:
        values = {execute_rewritten(network, v, seed=seed)[name].tobytes() for v in pairs}
        found += len(values) > 1
    return found


@pytest.mark.parametrize("changes", [case for case, _ in REWRITTEN.values()], ids=REWRITTEN)
def test_a_rewriting_tells_what_the_file_does_not(changes: dict) -> None:
    """Nothing tells the last bit of what absorbs; of what is refused some rewriting does."""
    assert told(network_in(absorber()), "stem", range(6)) == 0
    assert told(network_in(absorber(**changes)), named(changes), range(12)) > 0


def test_two_constants_are_not_taken_for_their_sum() -> None:
    """With which the layer would absorb."""
    changes, _ = REWRITTEN["a bias in two parts"]
    network = network_in(absorber(**changes))
    node = network.by_name[named(changes)]
    assert node.sum is not None
    first, second = node.sum.constants
    whole = first._replace(value=first.value + second.value)
    alone = replace(node, sum=node.sum._replace(constants=(whole,)))
    nodes = tuple(alone if n.name == node.name else n for n in network.nodes)
    absorbs(replace(network, nodes=nodes), LAST_BIT, node.name)
    with pytest.raises(Rejected, match=r"absorb\.table"):
        absorbs(network, LAST_BIT, node.name)


# ---- factors: everything that an execution may do, as sets of numbers -------------------------


Numbers = frozenset[Fraction]


def computed(exact: Iterable[Fraction]) -> Numbers:
    """Whatever an operation may return: the neighbours within u|t| + eta, 0 where t is flushed."""
    found = set[Fraction]()
    for t in exact:
        g = grid(t)
        near = {t // g * g, -(-t // g) * g} | ({Fraction(0)} if abs(t) < ETA else set())
        found |= {r for r in near if abs(r - t) <= U * abs(t) + ETA}
    return frozenset(found)


def multiplied(xs: Iterable[Fraction], f: Fraction) -> Numbers:
    return computed(x * f for x in xs)


def divided(xs: Numbers, f: Fraction) -> Numbers:
    """As a quotient, or with the rounded reciprocal."""
    return computed({*(x / f for x in xs), *(x * r for x in xs for r in computed([1 / f]))})


def summed(products: Numbers, exact: Numbers, b: Numbers) -> Numbers:
    """A product and a constant; the product may not have been rounded."""
    return computed(p + c for p in products | exact for c in b)


@dataclass(frozen=True)
class OneTap:
    """(byte / d * w + b) * f, one unit: a divisor before, a factor after, each a rewriting's."""

    d: float
    w: float
    b: float
    f: float

    @property
    def network(self) -> Network:
        b = OnnxBuilder()
        x = b.div(b.input_bytes((1, 1, 1)), np.float32(self.d), "divided")
        x = b.conv(x, [[[[self.w]]]], [self.b], name="conv")
        x = b.affine(x, "mul", np.float32(self.f), "scaled")
        b.softmax(b.dense(b.silu(x), [[1.0], [-1.0]]))
        return network_in(b.to_bytes())

    def executions(self, byte: int) -> Numbers:
        """All that may be stored of the whole, whatever is folded."""
        d, w, b, f = (Fraction(float(np.float32(v))) for v in (self.d, self.w, self.b, self.f))
        v, found = Fraction(byte), set[Fraction]()
        x = divided(frozenset({v}), d)
        # the divisor: before, in the weight, or after the product
        terms = [(multiplied(x, w), frozenset(w * n for n in x))]
        folded = divided(frozenset({w}), d)
        terms.append((computed(v * n for n in folded), frozenset(v * n for n in folded)))
        late = divided(multiplied([v], w), d)
        terms.append((late, late))
        for product, exact in terms:
            # the factor: on the whole, on both terms, or on the weight before
            found |= multiplied(summed(product, exact, frozenset({b})), f)
            times, bias = multiplied(product, f), multiplied([b], f)
            found |= summed(times, frozenset(p * f for p in product), bias)
        heavy = multiplied([w], f)
        for x_or_v, weights in ((x, heavy), (frozenset({v}), divided(heavy, d))):
            exact = frozenset(n * m for n in x_or_v for m in weights)
            found |= summed(computed(exact), exact, multiplied([b], f))
        return frozenset(found)


def one_tap(seed: int) -> OneTap:
    """Of any sizes; every third one subnormal somewhere."""
    random = np.random.default_rng(seed)
    w, b, f = random.normal(size=3) * 10.0 ** random.integers(-6, 6, 3)
    scale = 1e-36 if seed % 3 == 0 else 1.0
    return OneTap(float(random.uniform(0.5, 300)), w * scale, b * scale * (seed % 4 > 0), f)


def outside(seed: int) -> int:
    """How many executions are outside the table."""
    case = one_tap(seed)
    network, found = case.network, 0
    assert [node.name for node in network.nodes[1:3]] == ["divided", "scaled"]
    table = {node.name: table for node, table in tables(network)}["scaled"]
    for byte in (0, 1, 2, 3, 100, 101, 254, 255):
        low, high = (Fraction(n, 2**GRID) for n in table[0][byte])
        found += sum(not low <= value <= high for value in case.executions(byte))
    return found


@pytest.mark.parametrize("seed", range(24))
def test_a_table_holds_every_rounding_of_every_folding(seed: int) -> None:
    assert outside(seed) == 0


def noticed() -> int:
    """In how many networks a value is outside its table, or there is no table: 2 will do."""
    byte_tables._scaled.cache_clear()
    count = 0
    for seed in range(24):
        if count == 2:
            break
        try:
            count += outside(seed) > 0
        except Rejected:
            count += 1
    byte_tables._scaled.cache_clear()
    return count


def test_a_table_with_a_rounding_less_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    often = byte_tables._often
    monkeypatch.setattr(byte_tables, "_often", lambda n, *given: often(max(0, n - 1), *given))
    assert noticed() == 2


def test_a_table_without_underflow_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(byte_tables, "SLACK", 0)
    assert noticed() == 2


# ---- certificates ----------------------------------------------------------------------------


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
    upper = {name: float.fromhex(fields["claim"][name]["upper"]) for name in EXECUTIONS}
    assert upper[SAME_PROGRAM] == 0 < upper[ANY_TWO]
    assert fields["absorbed"] == "stem"
    assert {"binary32-values", "deterministic"} == (
        {*fields["assumptions"][SAME_PROGRAM]} - {*fields["assumptions"][ANY_TWO]}
    )


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("absorbed", "pixels", "absorb.factor"),
        ("absorbed", "bent", "absorb.table"),
        ("absorbed", "nowhere", "absorb.table"),
        ("absorbed", "", "claim.same-program"),
        ("absorbed", 3, "certificate.fields"),
        ("absorbed", None, "certificate.fields"),
    ],
)
def test_another_node_is_rejected(
    folder: Path, capsys: pytest.CaptureFixture[str], field: str, value: object, rule: str
) -> None:
    fields = fields_of(folder)
    fields[field] = value
    if value is None:
        del fields[field]
    put(folder, fields, seal=True)
    assert verdict(folder, capsys) == (1, rule)


def test_the_assumptions_of_any_two_are_too_few_for_one_program(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = fields_of(folder)
    fields["assumptions"][SAME_PROGRAM] = fields["assumptions"][ANY_TWO]
    put(folder, fields, seal=True)
    assert verdict(folder, capsys) == (1, "certificate.assumptions")


@pytest.mark.parametrize(("changes", "rule"), EVERY.values(), ids=EVERY)
def test_the_certificate_of_another_network_is_rejected(
    folder: Path, capsys: pytest.CaptureFixture[str], changes: dict, rule: str
) -> None:
    """Claim and hints are those of the network that absorbs; the model is one that does not."""
    (folder / "model.onnx").write_bytes(absorber(**changes))
    fields = fields_of(folder)
    put(folder, fields, seal=True)
    assert verdict(folder, capsys) in ((1, rule), (1, "absorb.table"), (1, "hint.node"))


def test_an_overflow_is_still_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = read_changed(folder)
    (folder / "model.onnx").write_bytes(model)
    put(folder, fields_of(folder), seal=True)
    assert verdict(folder, capsys) == (1, "finite.values")


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
