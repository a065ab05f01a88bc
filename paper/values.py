"""The numbers that PROOF.md has, by name: from certificates, models, and what Coq printed."""

from __future__ import annotations

import json
import math
import re
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from lastbit_check.arithmetic.enclosure import tanh_upper
from lastbit_check.check import ceil_float
from lastbit_check.derive.conclude import softmax_error
from lastbit_check.question import ANY_TWO, SAME_PROGRAM
from paper.claims import MODELS, certificate, network, rounded_up

ROOT = Path(__file__).parents[1]
SHA = 12  # digits of a model's name
Values = dict[str, str]


def values() -> Values:
    """All of them. Raises ValueError where a file is not as this program knows it."""
    found = {**_of_tight(), **_of_coq(), **_of_zero(), **_of_one(), **_of_plain()}
    shape = network("tight").input.shape
    return {**found, "classes": str(network("tight").classes), "pixels": str(math.prod(shape))}


def _of_tight() -> Values:
    said, net = certificate("tight"), network("tight")
    ((tree, leaves),) = said["claim"]["leaves"].items()
    pair, (row, column) = said["trees"][tree]["pair"], said["trees"][tree]["pixel"]
    if [row, column] != said["witness"]["pixel"]:
        raise ValueError("the tree of tight is not of the pixel of its pair of images")
    first = max(map(float.fromhex, leaves))
    lower = float.fromhex(said["witness"]["lower"])
    kinds = [node.op for node in net.nodes]
    early = next(node for node in net.computed if node.name in said["bases"])
    stem = next(node for node in net.nodes if node.sum and node.sum.parts[0].weight.shape[2] > 1)
    assert stem.sum is not None
    part = stem.sum.parts[0]
    sides = zip(part.weight.shape[2:], part.strides, strict=True)
    reached = math.prod(-(-k // s) for k, s in sides)
    hints = said["together"].values()
    found = {
        "sha": said["model_sha256"][:SHA],
        "accuracy": f"{_metrics('tight')['accuracy']['test']:.2%}".replace("%", " %"),
        "L": rounded_down(lower),
        "row": str(row),
        "column": str(column),
        "class": str(said["witness"]["class"]),
        "pair": f"({pair[0]}, {pair[1]})",
        "pairs": str(math.comb(net.classes, 2)),
        "sums": str(kinds.count("sum")),
        "silus": str(kinds.count("silu")),
        "sigmoids": str(kinds.count("sigmoid")),
        "gates": str(kinds.count("gate")),
        "bases": str(len(said["bases"])),
        "first": f"`{early.name}`",
        "reached": str(reached),
        "leaves": str(len(leaves)),
        "F": rounded_up(first),
        "together": str(len(hints)),
        "rows": f"{max(len(hint['rows']) for hint in hints):,}",
        "columns": f"{max(len(hint['columns']) for hint in hints):,}",
        "2s": rounded_up(float(2 * softmax_error(net.classes)), 7),
    }
    for number, name in enumerate((SAME_PROGRAM, ANY_TWO), 1):
        claim = {key: float.fromhex(value) for key, value in said["claim"][name].items()}
        found[f"U{number}"] = rounded_up(claim["upper"])
        found[f"R{number}"] = rounded_up(claim["logits"])
        found[f"rest{number}"] = rounded_up(claim["logits"] - first)
        made = ceil_float(tanh_upper(Fraction(claim["logits"]) / 4))
        found[f"tanh{number}"] = rounded_up(made)
    upper = float.fromhex(said["claim"][SAME_PROGRAM]["upper"])
    found["ratio"] = rounded_up(upper / lower, 3)
    return {f"tight.{name}": value for name, value in found.items()}


def _of_coq() -> Values:
    text = (ROOT / "proofs" / "tight" / "Theorem.v").read_text("utf-8")
    log = (ROOT / "proofs" / "tight" / "theorem.log").read_text("utf-8")
    theorem = _one(r"^(Theorem tight :\n.*?\.)\n", text, re.M | re.S)
    upper, stated = (_one(r"^Definition upper : Z := (\d+) \* one / 10000\.", text, re.M),
                     _one(r"last_bit_bound tight_network ([\d.]+)\.$", theorem, re.M))  # fmt: skip
    bound = _one(r"^Definition bound : Z := (\d+) \* one / 10000\.", text, re.M)
    if int(upper) / 10000 != float(stated) or stated not in log:
        raise ValueError("the number of proofs/tight/Theorem.v is not one")
    if certificate("tight")["model_sha256"] not in log:
        raise ValueError("proofs/tight/theorem.log is about another file")
    units = int(_one(r"%nat, (\d+)%N, \d+%nat, \d+%nat\)", log))
    return {
        "coq.theorem": theorem,
        "coq.U": stated,
        "coq.R": f"{int(bound) / 10000}",
        "coq.units": f"{units:,}",
    }


def _of_zero() -> Values:
    said, net = certificate("zero"), network("zero")
    node = net.by_name[said["absorbed"]]
    assert node.sum is not None
    (part,), (constant,) = node.sum.parts, node.sum.constants
    taps, biases = {*np.abs(part.weight[part.weight != 0]).tolist()}, {*constant.value.tolist()}
    q = Fraction(1, 2**51)
    if taps != {float(127 * q)} or biases != {float(Fraction(1, 2**28) + q)}:
        raise ValueError("the first layer of zero is not the one of PROOF.md")
    if np.any(np.count_nonzero(part.weight, axis=(1, 2, 3)) != 1):
        raise ValueError("the first layer of zero has not one tap in each channel")
    upper = float.fromhex(said["claim"][ANY_TWO]["upper"])
    return {
        "zero.node": node.name,
        "zero.tap": f"{taps.pop():.6g}",
        "zero.bias": f"{biases.pop():.9g}",
        "zero.U2": f"{upper:g}",
    }


def _of_one() -> Values:
    witness = certificate("one")["witness"]
    return {"one.class": str(witness["class"]), "one.L": f"{float.fromhex(witness['lower']):g}"}


def _of_plain() -> Values:
    claims = [*certificate("plain", "images")["claim"].values()]
    uppers = [float.fromhex(one["upper"]) for one in claims]
    found = {
        "images": str(len(claims)),
        "sure": str(sum(one["decided"] >= 1 for one in claims)),
        "kept": str(sum(one["decided"] == 2 for one in claims)),
        "drift": rounded_up(max(float.fromhex(one["drift"]) for one in claims)),
        "U": rounded_up(max(uppers)),
        "median": rounded_up(median(uppers)),
    }
    return {f"plain.{name}": value for name, value in found.items()}


def _metrics(model: str) -> Any:
    return json.loads((MODELS / model / "metrics.json").read_text("utf-8"))


def _one(pattern: str, text: str, flags: int = 0) -> str:
    found = re.findall(pattern, text, flags)
    if len(found) != 1:
        raise ValueError(f"{pattern} stands {len(found)} times")
    return found[0]


def rounded_down(x: float, digits: int = 6) -> str:
    """A number to so many digits after the point, not above itself."""
    return f"{math.floor(x * 10**digits) / 10**digits:.{digits}f}"
