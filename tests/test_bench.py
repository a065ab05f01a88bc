"""The tables of bench/: that they compute what they say."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from lastbit.bound.walk import derive

from lastbit.float32 import execute_float64
from lastbit.graph import Linear
from lastbit.hints import hints_for
from lastbit_check.check import Pass
from soundness.harness import built
from soundness.small import certified
from support.networks import RandomNetwork

BENCH = Path(__file__).parent.parent / "bench"


def test_the_table_of_rounding_is_what_is_certified(tmp_path: Path) -> None:
    """`alone` in float64 is the certified rounding of each sum but for its grid."""
    tightness = runpy.run_path(str(BENCH / "tightness.py"))
    for seed in range(6):
        model, network = built(RandomNetwork(seed).b, tmp_path)
        hints = hints_for(network)
        duals, derived = Pass(model, hints).duals, derive(model, hints, keep=True)
        ranges = tightness["ranges_of"](derived)
        rules = tightness["rounding_rules"](network, duals, derived, ranges)
        assert rules
        for name, (crude, any_tree, alone, signed, products) in rules.items():
            derived_one = float(derived.nodes[name]["rounding"])
            node = network[name]
            if isinstance(node, Linear) and node.bn is None:  # else the bias is of several parts
                assert alone / 1.001 <= derived_one <= alone * 1.02 + 1e-20
            assert products <= alone * (1 + 1e-12) and alone <= any_tree * (1 + 1e-12)
            assert signed <= any_tree <= crude * (1 + 1e-12)
        _, values = execute_float64(network, np.full(network.input_shape, 255, np.uint8))
        exact = {name: (value, value) for name, value in values.items()}
        single = tightness["rounding_rules"](network, duals, derived, exact)
        assert all(single[name][1] <= rules[name][1] * (1 + 1e-9) for name in rules)


def test_the_document_shows_the_shares_that_adversaries_reach() -> None:
    rows = runpy.run_path(str(BENCH / "hostile.py"))["rows"]()
    text = (BENCH.parent / "docs" / "rounding.md").read_text("utf-8").replace("\\|", "¦")
    table = re.findall(r"^\| ([^|]+) \| (0\.\d{4}) \| ([^|]+) \|", text, re.MULTILINE)
    assert [rule.replace("¦", "|") for rule, _, _ in table] == [row.rule for row in rows]
    for row, (_, share, how) in zip(rows, table, strict=True):
        assert 0 < row.share <= 1
        assert abs(row.share - float(share)) < 0.01, row
        assert row.how == how


def test_the_table_of_methods_has_a_row_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each method that is added to another one makes the bound no larger."""
    certified(tmp_path)
    runpy.run_path(str(BENCH / "methods.py"))["main"](str(tmp_path))
    printed = [re.split(r"\s{2,}", line.strip()) for line in capsys.readouterr().out.splitlines()]
    found = {name: float(r) for name, r, *_ in printed[1:]}
    core, lp, norms, exact, trees, sdp = found.values()
    assert [*found][1:3] == ["lp", "norms (beside linear-core)"]
    assert core * 1.00001 >= lp and core * 1.00001 >= exact >= trees >= sdp > 0
    assert norms > sdp
