"""A certificate, a file in JSON.

Strict: every field is named below, none may be missing, unknown or of another type, and ``digest``
is the SHA-256 of the rest, so that no number can change unnoticed. Real numbers are strings in C99
hexadecimal notation, and exact. What two readers of JSON understand differently is refused.

Map: certificate; a definition
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import numpy as np

from lastbit_check.arithmetic.exact import Fix
from lastbit_check.network import Node
from lastbit_check.question import (
    ANY_TWO,
    LAST_BIT,
    SAME_PROGRAM,
    STEPS,
    Box,
    Move,
    Question,
    Step,
    asking,
)
from lastbit_check.verdict import Rejected, Unreadable, readable, reading, require

FORMAT = "lastbit-certificate-6"
Manifest = dict[str, Any]  # as in the file, but for real numbers: checked for FORM only
SLOPE_BITS, MOST_SLOPE_BITS = 20, 21
LARGEST = float(np.finfo(np.float32).max)
ANY = "*"  # stands for every name of an object


class Signed(float):
    """In a form: a number that may be negative."""


class Perhaps(dict[str, Any]):
    """In a form: an object that may be missing."""


BOUND = {"upper": float, "logits": float}
MOVED = Perhaps(by=str, size=int, cells=int, channels=str, mask=[[int]])
ASKED = {"name": str, "pixels": [{"op": str, "constants": [Signed]}], "box": [Signed],
         "move": MOVED}  # fmt: skip
FORM = {
    "format": str, "model_sha256": str, "question": ASKED, "assumptions": {ANY: [str]},
    "claim": {ANY_TWO: BOUND, SAME_PROGRAM: BOUND, "leaves": {ANY: [float]}},
    "slopes": {ANY: [int]}, "boxes": [str], "bases": [str], "absorbed": str, "witness": dict,
    "together": {ANY: {"executions": [str], "pair": [int], "nodes": [str], "rows": [float],
                       "columns": [float]}}, "digest": str,
    "trees": {ANY: {"pair": [int], "pixel": [int], "splits": [[int]]}},
    "norms": Perhaps(nodes=[str]),
}  # fmt: skip


class Together(NamedTuple):
    """Scales p = ``rows`` and q = ``columns`` (together.py), for executions and two classes."""

    executions: Sequence[str]
    pair: Sequence[int]
    nodes: Sequence[str]
    rows: Sequence[float]
    columns: Sequence[float]


class Tree(NamedTuple):
    """Splits (place, threshold) in preorder (first_layers.py), for two classes and a pixel."""

    pair: Sequence[int]
    pixel: Sequence[int]
    splits: Sequence[Sequence[int]]


@dataclass(frozen=True)
class Hints:
    """Hints as read, by the names of nodes: whatever they are, what follows from them holds.

    Attributes:
        slopes: C numbers, slope of the linear core of a silu or sigmoid node, or the constant
            factor of a gate, in units of 2^-20; 0 if not given. Larger ones than 2^21 are multiples
            of a power of two with at most 21 bits.
        boxes: silu and sigmoid nodes whose dependence on the bases is forgotten.
        bases: nodes whose error is carried on as columns of its own.
        together: nodes whose roundings are taken together, by any name.
        trees: of the branch and bound over the bytes that the first layers read, by any name.
        absorbed: a node that tells no last bit of any pixel (byte_tables.py); "" for none.
        norms: nodes whose ranges and changes are bounded by Euclidean norms (norms/).
    """

    slopes: Mapping[str, Sequence[int]]
    boxes: frozenset[str] = frozenset()
    bases: frozenset[str] = frozenset()
    absorbed: str = ""
    together: dict[str, Together] = field(default_factory=dict[str, Together])
    trees: dict[str, Tree] = field(default_factory=dict[str, Tree])
    norms: frozenset[str] = frozenset()

    def slope(self, node: Node) -> Fix:
        """The node's core slopes (C, 1, 1, 1)."""
        n = self.slopes.get(node.name, [0] * node.shape[0])
        require(len(n) == node.shape[0], "hint.slope", f"of {len(n)} channels", node.name)
        coarser = max(0, max(map(abs, n)).bit_length() - MOST_SLOPE_BITS)
        fine = all(number % 2**coarser == 0 for number in n)
        require(fine, "hint.slope", "steep numbers of too many bits", node.name)
        numbers = np.array([number >> coarser for number in n], np.float64)
        return Fix(numbers.reshape(-1, 1, 1, 1), SLOPE_BITS - coarser)


def load(path: Path, forms: Mapping[str, Any] = MappingProxyType({FORMAT: FORM})) -> Manifest:
    """The manifest at ``path``, of one of some formats."""
    with reading(f"{path} is not a certificate"):
        fields: Any = _json(read_bytes(path).decode())
    said = cast("Manifest", fields).get("format") if isinstance(fields, dict) else None
    known = isinstance(said, str) and said in forms
    message = f"{path} is not a certificate of format {' or '.join(forms)}"
    readable(known, f"{message}; `lastbit prove` makes one of its model")
    return parse(cast("Manifest", fields), forms[str(said)])


def read_bytes(path: Path) -> bytes:
    """The bytes of a file; Unreadable, with the reason, where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}") from error


def digest(fields: dict[str, Any]) -> str:
    """SHA-256 of the manifest without its digest, as canonical JSON."""
    rest = {k: v for k, v in fields.items() if k != "digest"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def parse(fields: dict[str, Any], form: Any = FORM) -> Manifest:
    """Check the form of every field, the digest and the question (rules certificate.*)."""
    read = formed(fields, form, "manifest")
    require(digest(fields) == fields["digest"], "certificate.digest", "the manifest was changed")
    question_of(read)
    return read


def question_of(manifest: Manifest) -> Question:
    """The question that it answers. Raises Rejected (rule certificate.question) for another one."""
    said = manifest["question"]
    move = Move(**said.get("move", {}))
    pairs = all(len(run) == 2 for run in move.mask)
    known = pairs and move.known and ("move" in said) == (move != LAST_BIT.move)
    require(known, "certificate.question", "a move that is none, or not written so")
    # of one image nothing is certified
    known = said["name"] == asking(move).name
    require(known, "certificate.question", f"{said['name']!r} is not known, or of other moves")
    pixels = tuple(Step(step["op"], (*step["constants"],)) for step in said["pixels"])
    box = Box(*said["box"]) if len(said["box"]) == len(Box._fields) else None
    numbers = [*said["box"], *(n for step in pixels for n in step.constants)]
    single = all(abs(n) <= LARGEST and float(np.float32(n)) == n for n in numbers)
    right = single and {step.op for step in pixels} <= {*STEPS} and all(s.constants for s in pixels)
    right = right and len(said["box"]) in (0, 2) and not (pixels and box)
    right = right and (box is None or box.low < box.high)
    require(right, "certificate.question", "steps or a box that are none of binary32")
    last = (move.by, move.size) == ("bit", 0)
    require(last or not box, "certificate.question", "numbers of a box move in their last bit only")
    return asking(move, pixels, box)


def question_from(data: object) -> Question:
    """The question in data of JSON. Raises Rejected (rules certificate.*) where there is none."""
    return question_of({"question": formed(data, ASKED, "question")})


def question_as_data(question: Question) -> Manifest:
    """A question as it stands in a manifest."""
    steps = [{"op": step.op, "constants": [n.hex() for n in step.constants]}
             for step in question.pixels]  # fmt: skip
    box = [n.hex() for n in question.box or ()]
    move = {**question.move._asdict(), "mask": [[*run] for run in question.move.mask]}
    more = {"move": move} if question.move != LAST_BIT.move else {}
    return {"name": question.name, "pixels": steps, "box": box, **more}


def formed(value: Any, form: Any, where: str) -> Any:
    """``value``, if it has the form (see FORM): numbers for their notation, tuples for lists."""
    real = form in (float, Signed)
    nested = dict if isinstance(form, dict) else list
    kind = str if real else form if isinstance(form, type) else nested
    require(type(value) is kind, "certificate.fields", f"{where} is of another type")
    if real:
        try:
            number = float.fromhex(value)
        except (OverflowError, ValueError):
            number = math.nan
        right = -math.inf < number < math.inf and value == number.hex()
        right = right and (value[0] != "-" or (form is Signed and number < 0))
        require(right, "certificate.fields", f"{where}: not finite, of its sign, and canonical")
        return number
    if isinstance(form, list):
        return tuple(formed(entry, form[0], where) for entry in value)
    if not isinstance(form, dict):
        return value
    forms = cast("dict[str, Any]", form)
    forms = dict.fromkeys(cast("dict[str, Any]", value), forms[ANY]) if ANY in forms else forms
    forms = {k: f for k, f in forms.items() if k in value or not isinstance(f, Perhaps)}
    other = sorted(value.keys() ^ forms.keys())
    require(not other, "certificate.fields", f"{where}: {other}")
    return {name: formed(value[name], forms[name], f"{where}[{name!r}]") for name in forms}


def hints_of(manifest: Manifest) -> Hints:
    """The hints in the manifest."""
    together = {name: Together(**one) for name, one in manifest["together"].items()}
    trees = {name: Tree(**one) for name, one in manifest["trees"].items()}
    boxes, bases = frozenset(manifest["boxes"]), frozenset(manifest["bases"])
    norms = frozenset[str](manifest.get("norms", {}).get("nodes", ()))
    return Hints(manifest["slopes"], boxes, bases, manifest["absorbed"], together, trees, norms)


def _json(text: str) -> Any:
    """What every reader of JSON understands alike, or Rejected; ValueError if it is none."""
    found = json.loads(
        text,
        object_pairs_hook=_distinct,
        parse_int=_integer,
        parse_float=_no_number,
        parse_constant=_no_number,
    )
    try:
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise Rejected("certificate.text", "half of a surrogate pair") from error
    return found


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object whose names are distinct: readers take the first, the last or all of them."""
    found = dict(pairs)
    require(len(found) == len(pairs), "certificate.names", "a name stands twice in one object")
    return found


def _integer(text: str) -> int:
    """An integer that a reader may hold as a float64; -0 is another number for some."""
    number = int(text)
    right = abs(number) < 2**53 and text != "-0"
    require(right, "certificate.number", f"an integer of {len(text)} digits, or minus 0")
    return number


def _no_number(text: str) -> float:
    """Decimal fractions, NaN and infinities: readers round them, or do not know them."""
    raise Rejected("certificate.number", f"{text!r}: real numbers are hexadecimal strings")
