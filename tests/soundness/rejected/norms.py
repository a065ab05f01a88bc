"""Certificates by norms: nodes that are none, claims that are less, networks without a rule."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lastbit.certificate import draft
from lastbit.graph import OnnxBuilder
from lastbit.hints import hints_for
from lastbit_check.certificate import Hints
from lastbit_check.check import network_in, proved
from lastbit_check.norms.conclude import by_norms
from lastbit_check.question import LAST_BIT
from soundness.harness import built
from soundness.rejected.cases import case
from soundness.rejected.certificates import recheck
from support.alive import AliveNetwork

Fields = dict[str, Any]


@cache
def _live() -> tuple[bytes, bytes]:
    with TemporaryDirectory() as folder:
        model, network = built(AliveNetwork(1, side=6, width=4, blocks=3).b, Path(folder))
        return model, draft(model, hints_for(network)).manifest


def norms(rule: str, name: str, change: Callable[[Fields], None]) -> None:
    """Something in the certificate of a live network."""

    def run(folder: Path) -> None:
        model, manifest = _live()
        (folder / "model.onnx").write_bytes(model)
        fields = json.loads(manifest)
        assert fields["norms"]["nodes"]
        recheck(folder, fields)
        change(fields)
        recheck(folder, fields)

    run.__name__ = name
    case(rule)(run)


def _less(executions: str, part: str, by: float) -> Callable[[Fields], None]:
    def change(fields: Fields) -> None:
        claim = fields["claim"][executions]
        claim[part] = (float.fromhex(claim[part]) * by).hex()

    return change


norms("hint.node", "norms_of_no_node", lambda f: f["norms"]["nodes"].append("nowhere"))
norms("hint.node", "norms_of_the_answer", lambda f: f["norms"]["nodes"].append("probabilities"))
norms("certificate.fields", "norms_with_a_number", lambda f: f["norms"].update(scale="0x1.0p+0"))
norms("certificate.fields", "norms_without_nodes", lambda f: f["norms"].pop("nodes"))
norms("claim.same-program", "a_little_less_by_norms", _less("same-program", "logits", 1 - 2.0**-11))
norms("claim.same-program", "less_of_answers_by_norms", _less("same-program", "upper", 0.999))
norms("claim.any-two", "less_of_two_programs_by_norms", _less("any-two", "upper", 0.999))
norms("claim.any-two", "norms_of_nothing", lambda f: f["norms"].update(nodes=[]))


@case("around.kind")
def norms_of_a_quotient(folder: Path) -> None:
    b = OnnxBuilder()
    m = b.mean(b.input_bytes((2, 2, 2)))
    x = b.operator("Div", [m, b.affine(b.sigmoid(m), "add", [1.0])], "quotient")
    b.softmax(b.dense(x, [[1.0, 0], [0, 1]]))
    names = frozenset(n.name for n in network_in(b.to_bytes()).computed)
    proved(b.to_bytes(), LAST_BIT, Hints({}, norms=names))


@case("finite.values")
def norms_of_what_may_overflow(folder: Path) -> None:
    b = OnnxBuilder()
    x = b.mean(b.affine(b.input_bytes((1, 2, 2)), "mul", 1e37))
    b.softmax(b.dense(x, [[1.0], [-1.0]]))
    by_norms(network_in(b.to_bytes()), LAST_BIT)
