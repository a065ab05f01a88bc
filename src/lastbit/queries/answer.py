"""The answer to a query: unsat by what is proved, sat by a pair of inputs, or unknown."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from lastbit.api import Checked, check, check_apart
from lastbit.asked import Asked
from lastbit.certificate import draft, write
from lastbit.errors import QueryError
from lastbit.graph import Network, read_onnx
from lastbit.hints import hints_for
from lastbit.models.place import CERTIFICATE, note_place
from lastbit.models.shipped import ModelFiles, shipped_models
from lastbit.progress import Progress, silent
from lastbit.queries.asks import Asks, asks
from lastbit.queries.copies import Copies, Flat
from lastbit.queries.held import Assignment
from lastbit.queries.moves import COVERED
from lastbit.queries.outputs import Bound
from lastbit.queries.search import searched
from lastbit.queries.syntax import Query
from lastbit.questions import absorbed_node
from lastbit.runtimes.onnx_runtime import ending_with_logits
from lastbit.witness.files import read_witness
from lastbit_check.arithmetic.enclosure import tanh_upper
from lastbit_check.assumptions import assumptions
from lastbit_check.certificate import hints_of, load, question_of
from lastbit_check.check import Derived, exact_form, proved
from lastbit_check.derive.conclude import Balance, softmax_error
from lastbit_check.question import SAME_PROGRAM, Move, asking
from lastbit_check.refine.first_layers import first_layers
from lastbit_check.verdict import Rejected, Unreadable

SAT, UNSAT, UNKNOWN = "sat", "unsat", "unknown"
WRAPS = (
    "inputs were found that satisfy the query in exact arithmetic, but not in that of its element "
    "types, in which bytes wrap: write differences so that they are not negative"
)
FEW = 16
"""Places of which each has its own bound derived; of more, the bound of all is taken."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What is known of a query.

    Attributes:
        verdict: sat, unsat or unknown.
        asked: the query, as it was understood.
        executions: of which the bound speaks.
        bound: what is proved of the outputs; None where nothing is, and ``reason`` says why not.
        certificate: what the bound was taken from and checked: a file; None if it was not kept.
        checked: whether `lastbit_check` accepted the certificate that the bound comes from.
        assumed: the names of what the bound assumes.
        assignment: the numbers that satisfy the query, as ``program`` computes them.
        seconds: how long it took.
        note: what else a person should know, if anything.
    """

    verdict: str
    asked: Asks
    executions: str
    bound: Bound | None
    reason: str
    certificate: Path | None
    checked: bool
    assumed: tuple[str, ...]
    assignment: Assignment | None
    program: str
    seconds: float
    note: str


@dataclass(frozen=True, eq=False)
class _Proved:
    """A derivation, and where its certificate is."""

    derived: Derived | None
    reason: str = ""
    certificate: Path | None = None
    checked: bool = False


def answer(
    query: Query,
    files: ModelFiles,
    *,
    executions: str = SAME_PROGRAM,
    seconds: float = 60.0,
    out: Path | None = None,
    progress: Progress = silent,
) -> Answer:
    """Answer a query about two copies of a model.

    Args:
        query: as it was read.
        files: the model of both copies; a certificate and a witness of it are used.
        executions: one program for both copies, which is what the standard says of networks that
            are equal, or any two.
        seconds: in all; the bound is derived to its end, and the search has what is left.
        out: folder in which a certificate that is made is kept.
        progress: told of the derivation and the search.

    Raises:
        QueryError: the query does not fit the model, or is of no kind that is covered.
        ModelError: the model cannot be read.
        OutputError: the certificate cannot be written.
    """
    start = time.monotonic()
    asked = asks(query)
    network = _network(files, asked)
    files = replace(files, question=asked.question)
    copies = Copies(asked, files.model)
    assumed = assumptions(network.normal, executions)

    def made(verdict: str, bound: Bound | None, found: _Proved, shown: Assignment | None) -> Answer:
        spent = time.monotonic() - start
        note = WRAPS if verdict == UNKNOWN and copies.only_exactly else ""
        return Answer(verdict, asked, executions, bound, found.reason, found.certificate,
                      found.checked, (*assumed,), shown, Copies.program, spent, note)  # fmt: skip

    known = _stored_pair(files, asked)
    for pair in (known, known[::-1]):
        shown = copies.assigned(*pair) if pair else None
        if shown is not None:
            return made(SAT, None, _Proved(None), shown)
    found = _proved(files, network, asked, out, progress)
    bound = _bound(found.derived, network, asked, executions) if found.derived else None
    if bound is not None and all(case.refuted(bound) for case in asked.cases):
        return made(UNSAT, bound, found, None)
    shown = searched(files, asked, copies, known, start + seconds, progress)
    return made(SAT if shown is not None else UNKNOWN, bound, found, shown)


def _network(files: ModelFiles, asked: Asks) -> Network:
    """The model with the query's question. Raises QueryError where it is about something else."""
    query = asked.query
    plain = read_onnx(files.model)
    if bool(plain.question.box) != bool(asked.question.box):
        kinds = ("bytes (uint8)", "float32 numbers")
        said, there = (kinds[bool(q.box)] for q in (asked.question, plain.question))
        message = f"the query is about {said}, and the model reads {there}"
        raise QueryError(message, where=query.path)
    network = read_onnx(Asked(files.model, asked.question))
    if not network.logits_out:
        return network
    if ending_with_logits(Asked(files.model, asked.question), network) is not None:
        message = "the model ends in neither logits nor probabilities"
        raise QueryError(message, where=str(files.model), fix="end it before LogSoftmax or ArgMax")
    unlimited = Bound(None, Fraction(0))
    for case in asked.cases:
        if all(unlimited.of(each.weights) is None for each in case.apart):
            raise QueryError(
                "a case asks how far one logit moves; only differences of two are bounded",
                where=query.path,
                fix=COVERED,
            )
    return network


def _stored_pair(files: ModelFiles, asked: Asks) -> tuple[Flat, ...]:
    """The two inputs of the model's witness, if there is one for this question."""
    for one in _of_same_model(files):
        if one.witness.exists():
            witness = read_witness(one.witness)
            if witness.question == asked.question and witness.model_sha256 == files.sha256():
                return (*(image.reshape(-1) for image in witness.pair),)
    return ()


def _of_same_model(files: ModelFiles) -> list[ModelFiles]:
    """Where certificate and witness may be: beside the model, or with the shipped one it is."""
    name = files.sha256()
    return [files, *(one for one in shipped_models() if one.sha256() == name)]


def _proved(
    files: ModelFiles, network: Network, asked: Asks, out: Path | None, progress: Progress
) -> _Proved:
    """The bound of a stored certificate, or of a new one."""
    for one in _of_same_model(files):
        stored = _usable(one.certificate, files, asked)
        if stored and asked.any_level:
            return _any_level(one.certificate, files, asked)
        if stored:
            accepted: Checked = check(one.certificate, files.model, progress=progress)
            if accepted.derived is not None:
                return _Proved(accepted.derived, certificate=one.certificate, checked=True)
    if asked.any_level:
        return _any_level(None, files, asked)
    return _new(files, network, asked, out, progress)


def _usable(certificate: Path, files: ModelFiles, asked: Asks) -> bool:
    """Whether there is a certificate of this model and question; whether it is right is open."""
    try:
        manifest = load(certificate)
        return (
            manifest["model_sha256"] == files.sha256() and question_of(manifest) == asked.question
        )
    except (Rejected, Unreadable):
        return False


def _any_level(certificate: Path | None, files: ModelFiles, asked: Asks) -> _Proved:
    """Of bytes that move by one level, for which no certificate is written.

    The hints are those of a certificate about last bits, but for trees, which are of its pairs.
    """
    network = read_onnx(files.asked)
    try:
        hints = hints_of(load(certificate)) if certificate else hints_for(network)
        hints = replace(hints, trees={}, absorbed="")
        question = asking(Move("levels", 1), asked.question.pixels)
        return _Proved(proved(files.model.read_bytes(), question, hints))
    except Rejected as error:
        return _Proved(None, f"{error.rule} at {error.node}: {error.message}")


def _new(
    files: ModelFiles, network: Network, asked: Asks, out: Path | None, progress: Progress
) -> _Proved:
    """A new certificate, which another process checks."""
    model = files.model.read_bytes()
    try:
        hints = replace(hints_for(network), absorbed=absorbed_node(model, asked.question))
        made = draft(model, hints, question=asked.question, progress=progress)
    except Rejected as error:
        return _Proved(None, f"{error.rule} at {error.node}: {error.message}")
    with tempfile.TemporaryDirectory() as folder:
        target = (out or Path(folder)) / CERTIFICATE
        target.parent.mkdir(parents=True, exist_ok=True)
        write(target, made)
        if out:
            note_place(target, files.model)
        checked = check_apart(target, files.model, progress=progress)
    if not checked.accepted:
        return _Proved(None, f"the checker rejects it: {checked.rule} at {checked.node}")
    return _Proved(made.derived, certificate=target if out else None, checked=True)


def _bound(derived: Derived, network: Network, asked: Asks, executions: str) -> Bound:
    """What is proved of the outputs, of the places that may move."""
    claim = derived.claims[executions]
    logits, upper = claim.logits, claim.upper
    places = asked.moves.places
    if logits and 0 < len(places) <= min(FEW, asked.moves.size - 1):
        logits = min(logits, _of_places(derived, executions, places))
        change = tanh_upper(logits / 4) + 2 * softmax_error(network.classes)
        upper = min(upper, change)
    return Bound(None, logits) if network.logits_out else Bound(upper, None)


def _of_places(derived: Derived, executions: str, places: tuple[int, ...]) -> Fraction:
    """The largest bound of any pair of classes, of some places: as `Balance.claim` for all."""
    derivation = derived.derivation
    balance = Balance(derivation, executions)
    exactly = exact_form(derivation, first_layers(derivation.frame), derived.leaves)
    most = Fraction(0)
    for place in places:
        for row in np.argsort(-balance.everything.n[:, place], kind="stable").tolist():
            if balance.everything[row, place].largest() <= most:
                break
            most = max(most, balance.bound(row, place, exactly(row, place)))
    return most
