"""A model's own question as a benchmark instance: the query, the model, the list of instances.

The layout is that of the competition VNN-COMP for queries in version 2.0 of the standard: folders
`onnx` and `vnnlib` of files that are compressed with gzip, and `instances.csv`, which names them
without the ending .gz.

At most one place differs. To say so for every two places of n takes n^2/2 clauses, or an `or` of n
conjunctions of n - 1; here it takes n log2 n: all of one half are equal, and at most one of the
other half differs, or the other way round.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np

from lastbit.asked import Asked, described
from lastbit.errors import OutputError, UsageError
from lastbit.files import write_whole
from lastbit.graph import Network, read_onnx
from lastbit.graph.whole import whole_file
from lastbit.models.shipped import ModelFiles
from lastbit.witness.files import read_witness
from lastbit_check.certificate import load, question_of
from lastbit_check.onnxfile import read
from lastbit_check.question import SAME_PROGRAM, Question
from lastbit_check.verdict import Rejected, Unreadable

DIGITS = 6
"""Of a threshold that is taken from a certificate or a witness."""
LAST, LEVEL = "last-bit", "one-level"
MOVES = (LAST, LEVEL)
"""How a byte moves: by its last bit, or by 1 from any byte, which takes a tenth of the text."""


@dataclass(frozen=True)
class Instance:
    """One line of instances.csv: a query, what it asks, and what is known of it."""

    query: Path
    model: Path
    epsilon: str
    expected: str


@dataclass(frozen=True)
class Said:
    """What stands in the query.

    Attributes:
        sizes: of the input and of the output, as the file has them, for one image.
        question: of the model.
        move: of `MOVES`.
        place: the one that may move; None for any.
    """

    sizes: tuple[tuple[int, ...], tuple[int, ...]]
    question: Question
    move: str
    place: int | None


def export(
    files: ModelFiles,
    folder: Path,
    *,
    epsilons: Sequence[str] = (),
    move: str = LAST,
    place: Sequence[int] | None = None,
    timeout: int = 300,
) -> list[Instance]:
    """Write instances that ask whether a probability may move by more than epsilon.

    Args:
        files: the model, with what is said of its inputs. What that has in front of the file, and
            softmax behind it, is written into the exported model.
        folder: where to; it is made, and files of the same names are replaced.
        epsilons: one instance each, as decimal numbers. By default two, just above the stored U,
            which is unsat, and just below the stored L, which is sat.
        move: of `MOVES`; of float32 numbers it is always the last bit of the largest.
        place: the only one that may move, as the model's input is indexed, without the images'
            axis.
        timeout: in seconds, for the list.

    Raises:
        ModelError: the model cannot be read.
        UsageError: there is no such place, an epsilon is no number, or none is given or stored.
        OutputError: the folder cannot be written.
    """
    network = read_onnx(files.asked)
    question = network.question
    own = not (question.pixels or network.logits_out)
    model = files.model.read_bytes() if own else whole_file(Asked(files.model, question))
    sizes = _sizes(model, network)
    said = Said(sizes, question, move, None if place is None else _index(place, sizes[0]))
    known = _known(files, network)
    thresholds = _thresholds(epsilons, known, files)
    for name in ("onnx", "vnnlib"):
        _made(folder / name)
    exported = folder / "onnx" / f"{files.name}.onnx.gz"
    write_whole(exported, gzip.compress(model, mtime=0))
    instances = list[Instance]()
    for epsilon in thresholds:
        expected = _expected(Fraction(epsilon), known, said)
        one = "" if said.place is None else f"_place_{'_'.join(map(str, place or ()))}"
        kind = "last-bit" if question.box else move
        query = folder / "vnnlib" / f"{files.name}_{kind}{one}_{epsilon}.vnnlib.gz"
        head = _head(files, network, epsilon, expected)
        text = "\n".join([*head, *_query(said, epsilon)]) + "\n"
        write_whole(query, gzip.compress(text.encode(), mtime=0))
        instances.append(Instance(query, exported, epsilon, expected))
    rows = (_row(one, timeout) for one in instances)
    write_whole(folder / "instances.csv", "".join(rows).encode())
    return instances


def _row(instance: Instance, timeout: int) -> str:
    model = f"onnx/{instance.model.stem}"
    return f"\"[('f', '{model}'), ('g', '{model}')]\",vnnlib/{instance.query.stem},{timeout}\n"


def _made(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"the folder cannot be made: {error.strerror}"
        raise OutputError(message, where=str(folder), fix="choose another --output") from error


def _sizes(model: bytes, network: Network) -> tuple[tuple[int, ...], tuple[int, ...]]:
    dims = read(model).image.dims or ()
    return (1, *(int(n) for n in dims[1:] if n is not None)), (1, network.classes)


def _index(place: Sequence[int], sizes: tuple[int, ...]) -> int:
    fits = len(place) == len(sizes) - 1 and all(
        0 <= at < n for at, n in zip(place, sizes[1:], strict=True)
    )
    if not fits:
        raise UsageError(
            f"{','.join(map(str, place))} is no place of an input of {[*sizes[1:]]}",
            where="--place",
            fix="one number for each of these sizes, from 0",
        )
    return int(np.ravel_multi_index([*place], sizes[1:]))


Known = tuple[Fraction | None, Fraction | None]
"""U and L of one program, where they are stored."""


def _known(files: ModelFiles, network: Network) -> Known:
    upper = lower = None
    try:
        manifest = load(files.certificate)
        if manifest["model_sha256"] == network.sha256 and question_of(manifest) == network.question:
            upper = Fraction(manifest["claim"][SAME_PROGRAM]["upper"])
    except (Rejected, Unreadable):
        pass
    if files.witness.exists():
        witness = read_witness(files.witness)
        if (witness.model_sha256, witness.question) == (network.sha256, network.question):
            lower = Fraction(witness.lower)
    return upper, lower


def _thresholds(epsilons: Sequence[str], known: Known, files: ModelFiles) -> list[str]:
    if epsilons:
        return [_number(text) for text in epsilons]
    upper, lower = known
    found = list[str]()
    if upper is not None and upper < 1:
        found.append(decimal(upper, up=True))
    if lower:
        found.append(decimal(lower, up=False))
    if not found:
        raise UsageError(
            "neither a bound nor a witness is stored for this model",
            where=str(files.model),
            fix="say with --epsilon what to ask, or run `lastbit prove` before",
        )
    return found


def _number(text: str) -> str:
    try:
        value = Decimal(text)
        right = value.is_finite() and 0 <= value < 1
    except ArithmeticError:
        right, value = False, Decimal(0)
    if not right:
        raise UsageError(f"--epsilon {text!r} is not a number from 0 to 1, 1 excluded")
    return written(Fraction(value))


def decimal(value: Fraction, *, up: bool) -> str:
    """With `DIGITS` digits, not below ``value`` or not above it. Without an exponent."""
    context = Context(prec=DIGITS, rounding=ROUND_CEILING if up else ROUND_FLOOR)
    near = context.divide(Decimal(value.numerator), Decimal(value.denominator))
    return written(Fraction(near))


def written(value: Fraction) -> str:
    """A dyadic or decimal fraction, exactly, as the standard's grammar has it: no exponent."""
    places = 0
    while (value * 10**places).denominator != 1:
        places += 1
    digits = f"{abs(int(value * 10**places)):0{places + 1}d}"
    sign = "-" if value < 0 else ""
    return f"{sign}{digits[: len(digits) - places]}.{digits[len(digits) - places :] or '0'}"


def _expected(epsilon: Fraction, known: Known, said: Said) -> str:
    """What is known of last bits at any place; a bound of these is one for each place."""
    upper, lower = known
    if said.move == LEVEL and not said.question.box:
        return "sat" if lower is not None and epsilon < lower and said.place is None else "unknown"
    if upper is not None and upper <= epsilon:
        return "unsat"
    return "sat" if lower is not None and epsilon < lower and said.place is None else "unknown"


def _head(files: ModelFiles, network: Network, epsilon: str, expected: str) -> Iterator[str]:
    yield f"; Does any last bit move a probability of {files.name} by more than {epsilon}?"
    yield f"; Inputs: {described(network.question)}. Both copies are one program, in binary32."
    yield f"; Model: {network.sha256}, with what is said of its inputs and softmax written into it."
    yield f"; By lastbit: {expected}."
    yield "(vnnlib-version <2.0>)"


def _query(said: Said, epsilon: str) -> Iterator[str]:
    (inputs, outputs), box = said.sizes, said.question.box
    element = "float32" if box else "uint8"
    for name, given, made, equal in (("f", "X", "Y", ""), ("g", "A", "B", " (equal-to f)")):
        yield f"(declare-network {name}{equal}"
        yield f"    (declare-input {given} {element} [{','.join(map(str, inputs))}])"
        yield f"    (declare-output {made} float32 [{','.join(map(str, outputs))}])"
        yield ")"
    places = [",".join(map(str, at)) for at in np.ndindex(inputs)]
    low, high = (written(Fraction(end)) for end in box) if box else ("0", "255")
    for at in places:
        yield f"(assert (>= X[{at}] {low}))"
        yield f"(assert (<= X[{at}] {high}))"
        yield f"(assert (<= A[{at}] {high}))"
    yield from _moves(said, places)
    yield "(assert (or"
    for k in range(outputs[-1]):
        yield f"    (> (- Y[0,{k}] B[0,{k}]) {epsilon})"
        yield f"    (> (- B[0,{k}] Y[0,{k}]) {epsilon})"
    yield "))"


def _moves(said: Said, places: Sequence[str]) -> Iterator[str]:
    """The copies are alike, so that A >= X says no less than both orders do."""
    box = said.question.box
    step = written(box.step) if box else "1"
    even = " ".join(f"(== X[{{at}}] {byte})" for byte in range(0, 256, 2))
    for k, at in enumerate(places):
        if said.place not in (None, k):
            yield f"(assert {_equal(at)})"
            continue
        yield f"(assert (>= A[{at}] X[{at}]))"
        yield f"(assert (<= (- A[{at}] X[{at}]) {step}))"
        if said.move == LAST and not box:
            yield f"(assert (or {_equal(at)} {even.format(at=at)}))"
    if said.place is None and len(places) > 1:
        yield f"(assert {_at_most_one(places)})"


def _equal(at: str) -> str:
    return f"(== X[{at}] A[{at}])"


def _at_most_one(places: Sequence[str]) -> str:
    """At most one of two places or more differs."""
    half = len(places) // 2
    one, other = places[:half], places[half:]
    return f"(or {_one_in(one, other)} {_one_in(other, one)})"


def _one_in(moving: Sequence[str], fixed: Sequence[str]) -> str:
    """All of some are equal, and at most one of the others differs."""
    parts = [_equal(at) for at in fixed]
    if len(moving) > 1:
        parts.append(_at_most_one(moving))
    return f"(and {' '.join(parts)})" if len(parts) > 1 else parts[0]
