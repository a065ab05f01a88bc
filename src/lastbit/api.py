"""What the commands do, for use from Python: `prove` and `check`.

Both are names of `lastbit` itself. What they return shows itself in a notebook (extra `report`).

>>> import lastbit
>>> from lastbit.graph import OnnxBuilder
>>> b = OnnxBuilder()
>>> grey = b.mean(b.div(b.input_bytes((1, 4, 4)), 255.0))
>>> _ = b.softmax(b.dense(grey, [[1.0], [-1.0]]))
>>> verdict = lastbit.prove(b.save(folder / "grey.onnx"))
>>> verdict
Verdict('proved', same-program: Q <= 0.000130326, any-two: Q <= 0.000130438)
>>> verdict.upper["same-program"] < 2 / 4080
True
>>> checked = lastbit.check(verdict.certificate)
>>> checked
Checked(accepted, same-program: Q <= 0.000130326, any-two: Q <= 0.000130438)
>>> checked.upper == verdict.upper
True
>>> "any-order-binary32" in checked.assumptions["any-two"]
True
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import overload

from lastbit.certificate import Draft, draft, write
from lastbit.data import load_mnist, score
from lastbit.errors import CertificateError, DataError, ModelError, OutputError, UsageError
from lastbit.files import starts_as_json
from lastbit.graph import Network, read_onnx
from lastbit.hints import NO_BRANCHING, Branching
from lastbit.hints.fitting import Say, affordable, fitted, quiet
from lastbit.models.given import Given, files_of
from lastbit.models.place import CERTIFICATE, certificate_of, model_of, note_place
from lastbit.models.shipped import ModelFiles, is_shipped
from lastbit.models.summary import says_nothing, summarise
from lastbit.on_images import Images, ImagesVerdict, prove_at
from lastbit.progress import Progress, counted, silent
from lastbit.questions import absorbed_node
from lastbit.report import Bracket, available, render_part, shortened
from lastbit.runtimes import OnnxRuntime
from lastbit.witness.files import Witness, read_witness
from lastbit.witness.replay import ReplayResult, replay
from lastbit_check.assumptions import assumptions
from lastbit_check.certificate import Manifest, Tree, hints_of, load, question_of, read_bytes
from lastbit_check.check import Derived, ceil_float, check as check_certificate
from lastbit_check.question import ANY_TWO, EXECUTIONS, SAME_PROGRAM, Question
from lastbit_check.verdict import Rejected, Unreadable


@dataclass(frozen=True)
class Accuracy:
    """Test accuracy (fraction) and NLL (nats); ``source`` says how they are known."""

    test: float | None
    nll: float | None
    source: str


@dataclass(frozen=True, repr=False)
class Checked:
    """The checker's answer; ``rule``, ``node`` and ``reason`` are empty where it accepts.

    ``upper`` and ``assumptions`` are the certificate's, by executions; empty where it is rejected.
    """

    accepted: bool
    upper: Mapping[str, float]
    rule: str
    node: str
    reason: str
    seconds: float
    assumptions: Mapping[str, tuple[str, ...]]
    derived: Derived | None = None

    def __repr__(self) -> str:
        if self.accepted:
            return f"Checked(accepted, {_in_short(self._brackets)})"
        return f"Checked(rejected by {self.rule!r} at {self.node!r}: {self.reason})"

    def _repr_html_(self) -> str | None:
        """What notebooks show; None, for the text, without the extra ``report``."""
        said = f"{self.rule} at {self.node}: {self.reason}" if not self.accepted else ""
        verdict = "accepted" if self.accepted else "rejected"
        return _as_html(self._brackets, self.assumptions, verdict, "certificate", said)

    @property
    def _brackets(self) -> list[Bracket]:
        return _brackets(self.upper, {})


@dataclass(frozen=True, repr=False)
class Verdict:
    """What `prove` found. ``verdict`` is proved, refuted, rejected or not decided.

    It is not decided where no bound could be derived, of which ``refused`` names rule, node and
    reason; and where all that is proved is U = 1, which says nothing. ``assumptions`` are by
    executions.
    """

    verdict: str
    sha256: str
    question: Question
    assumptions: Mapping[str, tuple[str, ...]]
    accuracy: Accuracy
    made: Draft | None
    shown: ReplayResult | None
    checked: Checked | None
    refused: Rejected | None
    certificate: Path
    seconds: float

    @property
    def lower(self) -> dict[str, float | None]:
        """L, by executions."""
        shown = self.shown
        return {SAME_PROGRAM: shown.lower, ANY_TWO: shown.across} if shown else (
            dict.fromkeys((SAME_PROGRAM, ANY_TWO)))  # fmt: skip

    @property
    def upper(self) -> dict[str, float]:
        """U, by executions, as the certificate has it; empty where no bound was derived."""
        claims = self.made.derived.claims if self.made else {}
        return {name: ceil_float(claim.upper) for name, claim in claims.items()}

    def __repr__(self) -> str:
        said = _in_short(_brackets(self.upper, self.lower)) or str(self.refused)
        return f"Verdict({self.verdict!r}, {said})"

    def _repr_html_(self) -> str | None:
        """What notebooks show; None, for the text, without the extra ``report``."""
        said = str(self.refused) if self.refused else ""
        brackets = _brackets(self.upper, self.lower)
        return _as_html(brackets, self.assumptions, self.verdict, self.sha256, said)

    @property
    def says_nothing(self) -> dict[str, bool]:
        """Of each claim, whether it is U = 1 and no more; empty where there is none."""
        return _saying_nothing(self.made, self.lower) if self.made else {}


def _brackets(upper: Mapping[str, float], lower: Mapping[str, float | None]) -> list[Bracket]:
    named = [name for name in (SAME_PROGRAM, ANY_TWO) if name in upper]
    return [Bracket(name, lower.get(name), upper[name], None, {}) for name in named]


def _in_short(brackets: list[Bracket]) -> str:
    """Each bracket, its ends rounded outwards."""
    said = list[str]()
    for b in brackets:
        low = "" if b.lower is None else f"{shortened(b.lower, 'down')} <= "
        said.append(f"{b.executions}: {low}Q <= {shortened(b.upper, 'up')}")
    return ", ".join(said)


def _as_html(
    brackets: list[Bracket],
    assumed: Mapping[str, tuple[str, ...]],
    verdict: str,
    model: str,
    advice: str,
) -> str | None:
    if not available():
        return None
    return render_part(brackets, assumed, verdict=verdict, model=model, advice=advice)


@overload
def prove(
    model: Given,
    question: Question | None = None,
    *,
    images: None = None,
    out: Path | None = None,
    witness: Witness | None = None,
    branching: Branching = NO_BRANCHING,
    memory: float | None = None,
    say: Say = quiet,
    progress: Progress = silent,
) -> Verdict: ...


@overload
def prove(
    model: Given,
    question: Question | None = None,
    *,
    images: Images,
    sample: int | None = None,
    seed: int = 0,
    processes: int = 1,
    out: Path | None = None,
    progress: Progress = silent,
) -> ImagesVerdict: ...


def prove(
    model: Given,
    question: Question | None = None,
    *,
    images: Images | None = None,
    sample: int | None = None,
    seed: int = 0,
    processes: int = 1,
    out: Path | None = None,
    witness: Witness | None = None,
    branching: Branching = NO_BRANCHING,
    memory: float | None = None,
    say: Say = quiet,
    progress: Progress = silent,
) -> Verdict | ImagesVerdict:
    """Bound, replay of the witness, certificate, check by another process.

    With ``images`` a bracket at each of them (`lastbit.on_images.prove_at`, which takes ``sample``,
    ``seed`` and ``processes``); there is no witness then, no branching, and no limit of memory.

    Args:
        model: the name of a shipped model, or a path; its stored witness gives L, if there is one.
        question: what is asked; by default the last bit of its bytes, or of its float32 numbers.
        images: `test`, `train` or `all` (of MNIST), a file or a folder, or an array.
        sample: so many of these, drawn.
        seed: of the sample.
        processes: how many work side by side at images.
        out: folder of the certificate; by default the model's own, and for a shipped model
            ``certificates/NAME`` in the current folder.
        witness: gives L in the place of the stored one.
        branching: how much branching there may be over the bytes that the first layers read.
        memory: bytes that may be used, of which the check has half; all of this machine's, if no
            number is given. What does not fit is left out, and the bound is larger.
        say: told what the work needs, before it, and what is left out.
        progress: told about the derivation, the replay and the check.

    Raises:
        ModelError: the model cannot be read or is not covered.
        OutputError: the certificate cannot be written.
        UsageError: the witness is for another model, or the memory does not do; or some of this is
            of given images, and some of all.
    """
    if images is not None:
        if witness is not None or memory is not None or branching is not NO_BRANCHING:
            message = "witness, branching and memory are of proofs about all images"
            raise UsageError(message, fix="leave them out, or leave out images")
        return prove_at(model, images, question, sample=sample, seed=seed, processes=processes,
                        out=out, progress=progress)  # fmt: skip
    if sample is not None:
        raise UsageError("a sample is of images", fix="say which: images=...")
    start = time.monotonic()
    files = files_of(model, question)
    network = read_onnx(files.asked)
    assumed = {name: assumptions(network.normal, name, network.question) for name in EXECUTIONS}
    target = (out or _default_folder(files)) / CERTIFICATE
    accuracy = measured_accuracy(files, network)
    shown: ReplayResult | None = None
    if witness is None and files.witness.exists():
        witness = read_witness(files.witness)
    if witness is not None:
        progress("replaying the witness", 0, 1)
        shown = replay(files.asked, witness)
        progress("replaying the witness", 1, 1)
    found = files.model.read_bytes()
    try:
        absorbed = absorbed_node(found, network.question)
        hints, together = fitted(network, memory, say)
        made = draft(found, replace(hints, absorbed=absorbed), witness, question=network.question,
                     branching=branching, together=together, progress=progress)  # fmt: skip
    except Rejected as error:
        return Verdict("not decided", network.sha256, network.question, assumed, accuracy, None,
                       shown, None, error, target, time.monotonic() - start)  # fmt: skip
    except Unreadable as error:
        raise ModelError(str(error), where=str(files.model)) from error
    _make_folder(target.parent)
    write(target, made)
    note_place(target, files.model)
    checked = check_apart(target, files.model, memory=memory, progress=progress)
    verdict = Verdict("rejected", network.sha256, network.question, assumed, accuracy, made, shown,
                      checked, None, target, time.monotonic() - start)  # fmt: skip
    return replace(verdict, verdict=_verdict(verdict, made)) if checked.accepted else verdict


def _verdict(proof: Verdict, made: Draft) -> str:
    """Of a certificate that is accepted."""
    claims, shown = made.derived.claims, proof.shown
    if shown is not None and not (
        max(shown.changes.values()) <= claims[SAME_PROGRAM].upper
        and shown.across <= claims[ANY_TWO].upper
    ):
        return "refuted"
    return "not decided" if all(proof.says_nothing.values()) else "proved"


def _saying_nothing(made: Draft, lower: Mapping[str, float | None]) -> dict[str, bool]:
    upper = {name: ceil_float(claim.upper) for name, claim in made.derived.claims.items()}
    return {name: says_nothing(lower[name], upper[name]) for name in EXECUTIONS}


def known_trees(files: ModelFiles) -> tuple[Tree, ...]:
    """The trees of the model's stored certificate; none if there is no readable one for it."""
    try:
        manifest = load(files.certificate)
        hints = hints_of(manifest)
    except (Rejected, Unreadable):
        return ()
    network = read_onnx(files.asked)
    same = manifest["model_sha256"] == network.sha256 and question_of(manifest) == network.question
    return tuple(hints.trees.values()) if same else ()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"the folder cannot be made: {error.strerror}"
        raise OutputError(
            message, where=str(folder), fix="choose another one with --out"
        ) from error


def _default_folder(files: ModelFiles) -> Path:
    folder = Path("certificates") / files.name if is_shipped(files) else files.folder
    return folder / files.moves


def check(
    certificate: str | Path,
    model: str | Path | None = None,
    *,
    memory: float | None = None,
    say: Say = quiet,
    progress: Progress = silent,
) -> Checked:
    """Check a certificate in this process.

    Args:
        certificate: its file, the folder that holds a certificate.json, or a shipped model's name.
        model: where the model is; by default it is looked for (`lastbit.models.place`).
        memory: bytes that may be used; all of this machine's, if no number is given.
        say: told what the check needs, before it.
        progress: told of each node.

    Raises:
        CertificateError: it is missing, or is no certificate.
        UsageError: there is no model, or the memory does not do.
        ModelError: the model cannot be read.
    """
    start, certificate = time.monotonic(), certificate_of(certificate)
    try:
        manifest = _loaded(certificate)
        given = None if model is None else Path(model)
        files = model_of(certificate, manifest["model_sha256"], given)
        observe = counted(progress, "checking the certificate")
        before = partial(affordable, memory=memory, say=say)
        derived = check_certificate(read_bytes(files.model), manifest, observe, before)
    except Rejected as error:
        spent = time.monotonic() - start
        return Checked(False, {}, error.rule, error.node, error.message, spent, {})
    except Unreadable as error:
        raise ModelError(str(error), where=str(certificate)) from error
    upper = {name: manifest["claim"][name]["upper"] for name in EXECUTIONS}
    spent = time.monotonic() - start
    return Checked(True, upper, "", "", "", spent, manifest["assumptions"], derived)


def _loaded(certificate: Path) -> Manifest:
    """Its fields. Raises Rejected, and CertificateError where there are none."""
    fix = f"name a {CERTIFICATE}, as `lastbit prove` prints it"
    if certificate.is_file() and not starts_as_json(certificate):
        message = "this is not a certificate"
        fix += "; a model goes to --model, or to `lastbit prove`"
        raise CertificateError(message, where=str(certificate), fix=fix)
    try:
        return load(certificate)
    except Unreadable as error:
        raise CertificateError(str(error), fix=fix) from error


def check_apart(
    certificate: Path,
    model: Path,
    *,
    memory: float | None = None,
    progress: Progress = silent,
) -> Checked:
    """Check a certificate in a process of its own, which never imports lastbit."""
    progress("checking the certificate", 0, 1)
    limit = [] if memory is None else ["--memory", f"{memory:.0f}B"]
    command = [sys.executable, "-m", "lastbit_check", "--json", *limit, str(certificate),
               str(model)]  # fmt: skip
    # our own interpreter and module, on two paths: nothing here is a shell's to interpret
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    progress("checking the certificate", 1, 1)
    if done.returncode not in (0, 1):
        raise CertificateError(done.stderr.strip() or "the checker failed", where=str(certificate))
    said = json.loads(done.stdout)
    if said["accepted"]:
        named = {name: tuple(each) for name, each in said["assumptions"].items()}
        return Checked(True, said["upper"], "", "", "", said["seconds"], named)
    return Checked(False, {}, said["rule"], said["node"], said["reason"], 0.0, {})


def measured_accuracy(files: ModelFiles, network: Network) -> Accuracy:
    """Accuracy on MNIST's test images, by ONNX Runtime; as stored where there are no images."""
    mnist = network.input_shape == (1, 28, 28) and network.classes == 10
    if not mnist or network.question.box:
        return Accuracy(None, None, "not an MNIST model")
    try:
        test = load_mnist("test")
    except DataError as error:
        stored = summarise(files)
        return Accuracy(stored.accuracy, stored.nll, f"stored, not measured: {error}")
    found = score(OnnxRuntime().probabilities(files.asked, test.images), test.labels)
    return Accuracy(*found, f"measured on MNIST, images from {test.source}")
