"""For each rule of the checker, something that it rejects, under that very name."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from lastbit_check.certificate import Hints
from lastbit_check.check import proved
from lastbit_check.question import EXECUTIONS, LAST_BIT
from lastbit_check.verdict import Rejected
from soundness.hostile import (  # noqa: F401
    attributes,
    encoded,
    fields,
    models as hostile_models,
    notation,
    operands,
    tensors,
)
from soundness.rejected import (  # noqa: F401
    arranged,
    at_images,
    certificates,
    models,
    norms,
    numbers,
    together,
)
from soundness.rejected.cases import CASES, Case
from soundness.rejected.certificates import recheck
from soundness.rejected.models import LAST, START, onnx_model
from soundness.rejected.numbers import chain, scaled
from soundness.rejected.places import places
from soundness.small import certified, fields_of


@pytest.mark.parametrize(("rule", "name", "run"), CASES, ids=[f"{r}-{n}" for r, n, _ in CASES])
def test_it_is_rejected_by_its_rule(rule: str, name: str, run: Case, tmp_path: Path) -> None:
    with pytest.raises(Rejected) as caught:
        run(tmp_path)
    assert caught.value.rule == rule, str(caught.value)


def test_every_rule_has_a_case_and_every_case_a_rule() -> None:
    rules, shown = {place.rule for place in places()}, {rule for rule, _, _ in CASES}
    assert len(rules) > 20
    assert not {rule for rule in rules if not any(fnmatchcase(s, rule) for s in shown)}
    assert not {s for s in shown if not any(fnmatchcase(s, rule) for rule in rules)}


def test_the_small_networks_are_accepted_when_left_alone(tmp_path: Path) -> None:
    """What the cases above spoil is otherwise in order."""
    for model in (onnx_model([*START, *LAST]), chain().to_bytes(), scaled(1e-3, 1e3)):
        claims = proved(model, LAST_BIT, Hints({})).claims
        assert all(0 < claims[executions].upper < 1 for executions in EXECUTIONS)
    recheck(tmp_path, fields_of(certified(tmp_path)))
