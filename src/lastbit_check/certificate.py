"""A certificate, a file in JSON.

Strict: every field is named below, none may be missing, unknown or of another type, and ``digest``
is the SHA-256 of the rest, so that no number can change unnoticed. Real numbers are strings in C99
hexadecimal notation, and exact.
"""

import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from lastbit_check.exact import Fix
from lastbit_check.network import Node
from lastbit_check.verdict import Unreadable, readable, reading, require

FORMAT = "lastbit-certificate-3"
ASSUMPTIONS = (
    "any-order-binary32",
    "exp-relative-2^-20",
    "sigmoid-absolute-4u-2u-u/16",
    "silu-absolute-6u|z|-3u|z|-u|z|/16",
    "softmax-max-subtracted",
)
ABSORBING = ("binary32-values", "deterministic")  # assumed as well where ``absorbed`` is given
Manifest = dict[str, Any]  # as in the file, but for real numbers: checked for FORM only
SLOPE_BITS = 20
ANY = "*"  # stands for every name of an object
FORM = {
    "format": str, "model_sha256": str, "assumptions": list,
    "claim": {"upper": float, "logits": float, "parts": {ANY: float},
              "nodes": {ANY: {ANY: float}}, "leaves": {ANY: [float]}},
    "slopes": {ANY: [int]}, "boxes": [str], "bases": [str], "witness": dict, "digest": str,
    "together": {ANY: {"pair": [int], "nodes": [str], "exponent": int, "rows": [int],
                       "columns": [int]}},
    "trees": {ANY: {"pair": [int], "pixel": [int], "places": [int], "thresholds": [int]}},
}  # fmt: skip


class Together(NamedTuple):
    """Scales p = ``rows`` and q = ``columns`` 2^-exponent (together.py), for a pair of classes."""

    pair: tuple[int, int]
    nodes: tuple[str, ...]
    exponent: int
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]


class Tree(NamedTuple):
    """Splits (place, threshold) in preorder (patches.py), for a pair of classes and a pixel."""

    pair: tuple[int, int]
    pixel: tuple[int, int]
    splits: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Hints:
    """Hints as read, by the names of nodes: whatever they are, what follows from them holds.

    Attributes:
        slopes: (C,), slope of the linear core of a silu or sigmoid node, or the constant
            factor of a gate, in units of 2^-20; 0 if not given.
        boxes: silu and sigmoid nodes whose dependence on the bases is forgotten.
        bases: nodes whose error is carried on as columns of its own.
        together: layers whose roundings are taken together, by any name.
        trees: of the branch and bound over the bytes that the first layers read, by any name.
        absorbed: a node that tells no last bit of any pixel (bytes.py); "" for none.
    """

    slopes: dict[str, NDArray[np.int64]]
    boxes: frozenset[str] = frozenset()
    bases: frozenset[str] = frozenset()
    absorbed: str = ""
    together: dict[str, Together] = field(default_factory=dict[str, Together])
    trees: dict[str, Tree] = field(default_factory=dict[str, Tree])

    def slope(self, node: Node) -> Fix:
        """The node's core slopes (C, 1, 1, 1)."""
        n = self.slopes.get(node.name, np.zeros(node.shape[0], np.int64))
        require(n.shape == node.shape[:1], "hint.slope", f"shape {n.shape}", node.name)
        require(np.all(np.abs(n.astype(np.float64)) <= 2**21), "hint.slope", "too steep", node.name)
        return Fix(n.astype(np.float64).reshape(-1, 1, 1, 1), SLOPE_BITS)


def load(path: Path) -> Manifest:
    """The manifest at ``path``."""
    fields = _json(read_bytes(path), f"{path} is not a certificate")
    readable(fields.get("format") == FORMAT, f"{path} is not a certificate of format {FORMAT}")
    return parse(fields)


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


def parse(fields: dict[str, Any]) -> Manifest:
    """Check the form of every field, the digest and the assumptions (rules certificate.*)."""
    absorbing = "absorbed" in fields
    read = _formed(fields, {**FORM, "absorbed": str} if absorbing else FORM, "manifest")
    require(digest(fields) == fields["digest"], "certificate.digest", "the manifest was changed")
    right = read["assumptions"] == [*ASSUMPTIONS, *ABSORBING * absorbing]
    require(right, "certificate.assumptions", f"not the ones in force: {read['assumptions']}")
    return read


def _formed(value: Any, form: Any, where: str) -> Any:
    """``value``, if it has the form (see FORM), with numbers in place of their notation."""
    kind = str if form is float else form if isinstance(form, type) else type(form)
    require(type(value) is kind, "certificate.fields", f"{where} is of another type")
    if form is float:
        with reading(where):
            number = float.fromhex(value)
        right = 0 <= number < math.inf and value == number.hex()
        require(right, "certificate.fields", f"{where}: not finite, >= 0 and canonical")
        return number
    if isinstance(form, list):
        return [_formed(entry, form[0], where) for entry in value]
    if not isinstance(form, dict):
        return value
    forms = cast("dict[str, Any]", form)
    forms = dict.fromkeys(cast("dict[str, Any]", value), forms[ANY]) if ANY in forms else forms
    other = sorted(value.keys() ^ forms.keys())
    require(not other, "certificate.fields", f"{where}: {other}")
    return {name: _formed(value[name], forms[name], f"{where}[{name!r}]") for name in forms}


def hints_of(manifest: Manifest) -> Hints:
    """The hints in the manifest."""
    with reading("a hint"):
        slopes = {name: np.array(n, np.int64) for name, n in manifest["slopes"].items()}
        together = {name: Together((*one["pair"],), (*one["nodes"],), one["exponent"],
                                   np.array(one["rows"], np.int64),
                                   np.array(one["columns"], np.int64))
                    for name, one in manifest["together"].items()}  # fmt: skip
        trees = {name: Tree((*one["pair"],), (*one["pixel"],),
                            (*zip(one["places"], one["thresholds"], strict=True),))
                 for name, one in manifest["trees"].items()}  # fmt: skip
    boxes, bases = frozenset(manifest["boxes"]), frozenset(manifest["bases"])
    return Hints(slopes, boxes, bases, manifest.get("absorbed", ""), together, trees)


def _json(data: bytes, failure: str) -> dict[str, Any]:
    """A JSON object, all of whose names are distinct."""
    with reading(failure):
        found: Any = json.loads(data.decode("utf-8"), object_pairs_hook=_distinct)
    readable(isinstance(found, dict), f"{failure}: no JSON object")
    return cast("dict[str, Any]", found)


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found
