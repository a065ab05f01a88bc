"""What is claimed of the shipped models, and by which rules: read off their certificates."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lastbit_check.check import network_in
from lastbit_check.network import Network
from lastbit_check.question import ANY_TWO, EXECUTIONS, SAME_PROGRAM

MODELS = Path(__file__).parents[1] / "models"
ALWAYS = ("certificate", "file", "normal-form", "question", "assumptions", "integers")
FOR_ALL = ("check", "derivation", "roundings", "enclosures", "duals", "changes", "conclusion")
FINITE = "finite"
AT_IMAGES = ("images", "at-image", "near-image", "ellipsoids", "float64", "roundings", "conclusion")


@dataclass(frozen=True)
class Claim:
    """What a certificate says: in words, and by which rules and assumptions."""

    name: str
    said: str
    rules: tuple[str, ...]
    assumed: tuple[str, ...]


@cache
def certificate(model: str, within: str = "") -> Any:
    """A shipped certificate."""
    return json.loads((MODELS / model / within / "certificate.json").read_text("utf-8"))


@cache
def network(model: str) -> Network:
    """A shipped network, as the checker reads it."""
    return network_in((MODELS / model / "model.onnx").read_bytes())


def claims(rule_of_kind: Mapping[str, str]) -> Iterator[Claim]:
    """Of all shipped certificates; of each kind of node the rule is given.

    Those that bound a change come first.
    """
    found = sorted(_claims(rule_of_kind), key=lambda claim: claim.name.endswith(FINITE))
    yield from found


def _claims(rule_of_kind: Mapping[str, str]) -> Iterator[Claim]:
    for path in sorted(MODELS.rglob("certificate.json")):
        model, *within = path.parent.relative_to(MODELS).parts
        said, nodes = certificate(model, *within), network(model).nodes
        rules = {*ALWAYS, *(rule_of_kind[node.op] for node in nodes if node.op in rule_of_kind)}
        factors = (f for n in nodes if n.sum for part in n.sum.parts for f in part.factors)
        rules |= {"batch-norm"} if not all(factor.known for factor in factors) else set()
        yield from _at_images(model, said, rules) if within else _for_all(model, said, rules)


def _for_all(model: str, said: Mapping[str, Any], rules: set[str]) -> Iterator[Claim]:
    rules = {*rules, *FOR_ALL, *(["columns"] if said["bases"] else [])}
    uppers = {name: float.fromhex(said["claim"][name]["upper"]) for name in EXECUTIONS}
    for name, upper in uppers.items():
        if upper < 1:
            used = rules | set(_refined(name, said))
            text = f"{model}, {name}: U = {rounded_up(upper)}"
            yield Claim(f"{model} {name}", text, (*sorted(used),), (*said["assumptions"][name],))
    if max(uppers.values()) >= 1:  # all that is left to say
        assumed = (*said["assumptions"][ANY_TWO],)
        yield Claim(f"{model} {FINITE}", f"{model}: no value overflows", (*sorted(rules),), assumed)


def _refined(executions: str, said: Mapping[str, Any]) -> Iterator[str]:
    """What makes the bound smaller."""
    if executions == SAME_PROGRAM:
        yield "byte-tables" if said["absorbed"] else "one-program"
    if said["trees"]:
        yield "first-layers"
    if any(executions in hint["executions"] for hint in said["together"].values()):
        yield "together"


def _at_images(model: str, said: Mapping[str, Any], rules: set[str]) -> Iterator[Claim]:
    most = max(float.fromhex(one["upper"]) for one in said["claim"].values())
    text = f"{model}, at {len(said['claim'])} images: U <= {rounded_up(most)}"
    yield Claim(f"{model} images", text, (*sorted({*rules, *AT_IMAGES}),),
                (*said["assumptions"],))  # fmt: skip


def rounded_up(x: float, digits: int = 6) -> str:
    """A number to so many digits after the point, not below itself."""
    return f"{math.ceil(x * 10**digits) / 10**digits:.{digits}f}"
