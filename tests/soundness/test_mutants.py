"""Mutants of real files: what the checker and ONNX Runtime both accept, both compute alike.

LASTBIT_MUTANTS says how many there are; 100,000 if it does not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from lastbit_check.files import operators, protobuf, schema
from lastbit_check.files.operators import legal
from lastbit_check.onnxfile import read
from lastbit_check.operators import FORMS
from lastbit_check.verdict import Rejected
from soundness.mutants.bases import bases, header, square
from soundness.mutants.campaign import Judge, difference, library
from soundness.mutants.meaning import MEANING, attributed, described
from soundness.mutants.mutate import FIELDS, Change, Spoiler, encoded, rebuilt

pytestmark = pytest.mark.slow

COUNT = int(os.environ.get("LASTBIT_MUTANTS", "100000"))
SIZE = 1000  # of a file of which a round makes 100 mutants; fewer of a larger one


def rounds() -> Iterator[bytes]:
    """Mutants of all files, no end."""
    files = bases()
    lent = [data for data in files.values() if len(data) < 2 * SIZE]
    spoilers = [Spoiler(data, k, lent) for k, data in enumerate(files.values())]
    while True:
        for spoiler, data in zip(spoilers, files.values(), strict=True):
            yield from spoiler.mutants(100 * SIZE // len(data) + 1, FIELDS + MEANING)


def test_what_all_accept_all_compute_alike(capsys: pytest.CaptureFixture[str]) -> None:
    judge = Judge()
    counts = judge.found.counts
    for data in rounds():
        judge(data)
        if counts["mutants"] == COUNT:
            break
    with capsys.disabled():
        print("\n" + judge.found.shares())
    assert not judge.found.disagreements, judge.found.disagreements[0]
    loaded = counts["loaded by ONNX Runtime as well"]
    assert counts["accepted by all three"] > 0.25 * COUNT
    assert counts["computed alike"] > 0.99 * loaded
    assert loaded > 0.985 * counts["accepted by the checker"]


def test_the_files_themselves_are_read_alike() -> None:
    judge = Judge()
    for data in bases().values():
        assert rebuilt(data) == data
        judge(data)
    assert not judge.found.disagreements
    assert judge.found.counts["computed alike"] == len(bases())


@pytest.mark.parametrize("name", ["tight", "plain"])
def test_headers_of_shipped_models_are_read_alike(name: str) -> None:
    """Every operator and attribute of a shipped model, with weights of one number each."""
    accepted = 0
    for data in Spoiler(header(name), 1).mutants(300, FIELDS + MEANING):
        model, _ = library(data)
        try:
            graph = read(data)
            legal(graph, FORMS)
        except Rejected:
            continue
        accepted += 1
        assert model is not None
        assert not difference(graph, model)
    assert accepted > 60


# ---- the test can fail: what the checker did before --------------------------------------------


def disagreements(mutants: Iterator[bytes], most: int) -> list[str]:
    """The first ones, of so many mutants at the most."""
    judge = Judge()
    for data, _ in zip(mutants, range(most), strict=False):
        judge(data)
        if judge.found.disagreements:
            break
    return [how for how, _ in judge.found.disagreements]


def endless(changes: list[tuple[Change, float]]) -> Iterator[bytes]:
    """Mutants of the file whose channels, rows and columns are three each."""
    for seed in count():
        yield from Spoiler(square(13), seed).mutants(100, changes)


def any_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number other than 0 is a yes."""
    form = FORMS["ReduceMean"][7]
    wrong = form._replace(attributes={**form.attributes, "keepdims": operators.INTEGER})
    monkeypatch.setitem(FORMS["ReduceMean"], 7, wrong)


def long_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field whose tag has more than 32 bits is one that is not known, and passed over."""

    def fields(data: bytes) -> Iterator[tuple[int, int, Any]]:
        at = 0
        while at < len(data):
            tag, at = protobuf.varint(data, at)
            value, at = protobuf.varint(data, at) if tag & 7 in (0, 2) else (4, at)
            if tag & 7:
                value, at = data[at : at + value], at + value
            if tag < 2**32:
                yield tag >> 3, tag & 7, value

    monkeypatch.setattr(protobuf, "fields", fields)


def either(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a number and a name for a size, the number counts."""
    dim = schema.SHAPE.fields[1]
    wrong = dim._replace(kind=schema.DIMENSION._replace(oneof=()))
    monkeypatch.setitem(schema.SHAPE.fields, 1, wrong)


OLD = [(any_number, attributed), (long_tags, encoded), (either, described)]


@pytest.mark.parametrize(("behaviour", "change"), OLD)
def test_it_finds_what_the_checker_did_before(
    behaviour: Callable[[pytest.MonkeyPatch], None], change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = [(change, 1.0)]
    assert not disagreements(endless(changes), 300)
    behaviour(monkeypatch)
    assert disagreements(endless(changes), 5000)
