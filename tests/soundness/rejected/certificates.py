"""Certificates with a field changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lastbit_check.assumptions import assumptions
from lastbit_check.certificate import load, parse
from lastbit_check.check import check, network_in
from lastbit_check.question import ANY_TWO, EXECUTIONS, SAME_PROGRAM
from soundness.rejected.cases import case
from soundness.small import Fields, certified, changed, fields_of, model, put

UPPER = ANY_TWO, "upper"
SMALL = network_in(model())
ASSUMED = {
    "no assumptions": [],
    "other assumptions": ["real-arithmetic"],
    "one assumption less": [*assumptions(SMALL, ANY_TWO)[1:]],
    "another order": [*assumptions(SMALL, SAME_PROGRAM)[::-1]],
    "what is assumed of another operator": [*assumptions(SMALL, SAME_PROGRAM), "tanh"],
}


def recheck(folder: Path, fields: Fields, *, seal: bool = True) -> None:
    put(folder, fields, seal=seal)
    manifest = load(folder / "certificate.json")
    check((folder / "model.onnx").read_bytes(), manifest)


def certificate(rule: str, *path: Any, value: Any, name: str, seal: bool = True) -> None:
    def run(folder: Path) -> None:
        recheck(folder, changed(fields_of(certified(folder)), path, value), seal=seal)

    run.__name__ = name
    case(rule)(run)


certificate("certificate.fields", "base", value="x", name="an_unknown_field")
certificate("certificate.fields", "boxes", value={}, name="another_type")
certificate("certificate.fields", "boxes", value=[1], name="a_box_without_a_name")
certificate("certificate.fields", "claim", value={}, name="an_empty_claim")
certificate("certificate.fields", "claim", *UPPER, value="inf", name="an_infinite_claim")
certificate("certificate.fields", "claim", *UPPER, value="nan", name="a_claim_that_is_no_number")
certificate(
    "certificate.fields", "claim", *UPPER, value="0x1.0p-3", name="a_number_in_another_notation"
)
certificate("certificate.number", "claim", *UPPER, value=0.25, name="a_decimal_number")
certificate("certificate.fields", "slopes", value={"s": [True]}, name="a_truth_value_for_a_slope")
certificate("certificate.fields", "slopes", value={"s": 1}, name="a_slope_that_is_no_list")
certificate("certificate.fields", "together", value={"a": {}}, name="layers_without_scales")
certificate(
    "certificate.fields",
    "together",
    value={
        "a": {
            "executions": [],
            "pair": [0, 1],
            "nodes": [],
            "rows": [["0x1.0000000000000p+0"]],
            "columns": [],
        }
    },
    name="a_list_for_a_scale",
)
certificate(
    "certificate.fields", "claim", ANY_TWO, "logits", value={}, name="logits_that_are_no_number"
)
certificate("certificate.fields", "claim", SAME_PROGRAM, value={}, name="a_claim_without_numbers")
certificate("certificate.fields", "absorbed", value=3, name="a_number_for_a_node")
certificate("certificate.fields", "claim", "parts", value={}, name="an_unknown_claim")
certificate("claim.leaves", "claim", "leaves", value={"a": []}, name="leaves_of_no_tree")
certificate(
    "certificate.digest", "claim", *UPPER, value="0x0.0p+0", name="a_claim_changed", seal=False
)
for executions in EXECUTIONS:
    for label, said in ASSUMED.items():
        certificate(
            "certificate.assumptions", "assumptions", executions, value=said,
            name=f"{label} of {executions}",
        )  # fmt: skip
    for label, part, value in (
        ("too small a claim", "upper", "0x1.0000000000000p-30"),
        ("too loose a claim", "upper", "0x1.0000000000000p+0"),
        ("logits that do not move", "logits", "0x0.0p+0"),
    ):
        certificate(
            f"claim.{executions}", "claim", executions, part, value=value,
            name=f"{label} of {executions}",
        )  # fmt: skip
certificate("certificate.assumptions", "assumptions", value={}, name="assumptions_of_nothing")
for unknown in ("one-bit", "one-image"):
    certificate(
        "certificate.question", "question", "name", value=unknown, name=f"question_{unknown}"
    )


@case("model.sha256")
def a_certificate_of_another_model(folder: Path) -> None:
    manifest = load(certified(folder) / "certificate.json")
    check((folder / "model.onnx").read_bytes() + b"\x00", manifest)


@case("certificate.digest")
def a_field_changed(folder: Path) -> None:
    fields = fields_of(certified(folder))
    parse(changed(fields, ("boxes",), fields["boxes"][1:]))
