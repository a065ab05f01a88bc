"""The certificate's manifest: a JSON file with the claim, the assumptions and the hints' frame.

Strict: every field is named below, none may be missing, unknown or of another type, and
``digest`` is the SHA-256 of the rest, so that no number can change unnoticed. Real numbers are
strings in C99 hexadecimal notation, and exact.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from lastbit_check.hints import unique
from lastbit_check.verdict import Unreadable, require

FORMAT = "lastbit-certificate-1"
ASSUMPTIONS = (
    "any-order-binary32",
    "exp-relative-2^-20",
    "sigmoid-absolute-4u-2u-u/16",
    "silu-absolute-6u|z|-3u|z|-u|z|/16",
    "softmax-max-subtracted",
)
METHODS = ("linear-core", "norms")
PARTS = ("first_layer", "remainder", "rounding", "softmax")
FIELDS = {
    "format": str, "model_sha256": str, "blob_sha256": str, "assumptions": list, "claim": dict,
    "nodes": dict, "duals": dict, "norms": dict, "boxes": list, "bases": list, "coarsen": dict,
    "witness": dict, "digest": str,
}  # fmt: skip


@dataclass(frozen=True)
class Claim:
    """|prob_c(v') - prob_c(v)| <= upper; R bounds per method; parts of upper, summing to it."""

    upper: float
    logits: dict[str, float]
    parts: dict[str, float]


@dataclass(frozen=True)
class Manifest:
    """The manifest as read, its fields checked for form only."""

    model_sha256: str
    blob_sha256: str
    claim: Claim
    nodes: dict[str, dict[str, float]]
    duals: dict[str, int]
    norms: dict[str, float]
    boxes: frozenset[str]
    bases: frozenset[str]
    coarsen: str
    block: int
    witness: dict[str, Any]


def digest(fields: dict[str, Any]) -> str:
    """SHA-256 of the manifest without its digest, as canonical JSON."""
    rest = {k: v for k, v in fields.items() if k != "digest"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def load(path: Path) -> tuple[Manifest, bytes]:
    """The manifest at ``path`` and the bytes of the blob beside it (same name, .safetensors)."""
    text = read_bytes(path)
    try:
        fields: Any = json.loads(text.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{path} is not a certificate: {error}") from error
    manifest = cast("dict[str, Any]", fields) if isinstance(fields, dict) else {}
    if manifest.get("format") != FORMAT:
        raise Unreadable(f"{path} is not a certificate of format {FORMAT}")
    return parse(manifest), read_bytes(path.with_suffix(".safetensors"))


def read_bytes(path: Path) -> bytes:
    """The bytes of a file; Unreadable, with the reason, where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}") from error


def parse(fields: dict[str, Any]) -> Manifest:
    """Check the form of every field (rules certificate.*)."""
    require(
        set(fields) == set(FIELDS), "certificate.fields", f"{sorted(set(fields) ^ set(FIELDS))}"
    )
    for name, kind in FIELDS.items():
        require(type(fields[name]) is kind, "certificate.fields", f"{name} is of another type")
    require(digest(fields) == fields["digest"], "certificate.digest", "the manifest was changed")
    named = tuple(fields["assumptions"])
    require(named == ASSUMPTIONS, "certificate.assumptions", f"not the ones in force: {named}")
    claim = fields["claim"]
    require(set(claim) == {"upper", "logits", "parts"}, "certificate.fields", "claim")
    logits, parts = _reals(claim["logits"], "claim.logits"), _reals(claim["parts"], "claim.parts")
    require(tuple(sorted(logits)) == METHODS, "certificate.fields", "claim.logits")
    require(tuple(sorted(parts)) == tuple(sorted(PARTS)), "certificate.fields", "claim.parts")
    coarsen = fields["coarsen"]
    right = set(coarsen) == {"node", "block"} and type(coarsen["node"]) is str
    right = right and type(coarsen["block"]) is int and 1 <= coarsen["block"] < 2**20
    require(right, "certificate.fields", "coarsen")
    duals = fields["duals"]
    require(all(type(e) is int for e in duals.values()), "certificate.fields", "duals")
    named = [*fields["boxes"], *fields["bases"]]
    require(all(type(b) is str for b in named), "certificate.fields", "boxes or bases")
    return Manifest(
        fields["model_sha256"], fields["blob_sha256"],
        Claim(_real(claim["upper"], "claim.upper"), logits, parts),
        {k: _reals(v, f"nodes.{k}") for k, v in fields["nodes"].items()},
        duals, _reals(fields["norms"], "norms"),
        frozenset(fields["boxes"]), frozenset(fields["bases"]),
        coarsen["node"], coarsen["block"], fields["witness"],
    )  # fmt: skip


def _reals(values: Any, where: str) -> dict[str, float]:
    require(isinstance(values, dict), "certificate.fields", f"{where} is no object")
    return {name: _real(value, f"{where}.{name}") for name, value in values.items()}


def _real(value: Any, where: str) -> float:
    require(isinstance(value, str), "certificate.fields", f"{where} is no hexadecimal number")
    try:
        number = float.fromhex(value)
    except (ValueError, OverflowError) as error:
        raise Unreadable(f"{where}: {error}") from error
    require(0 <= number < float("inf"), "certificate.fields", f"{where} is not finite and >= 0")
    require(value == number.hex(), "certificate.fields", f"{where} is not in canonical notation")
    return number
