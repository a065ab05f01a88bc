"""The tables of bench/: that they compute what they say."""

import re
import runpy
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from lastbit.float32 import execute_float64
from lastbit.hints import hints_for
from lastbit.models.shipped import resolve_model
from lastbit_check.arithmetic.exact import from_float
from lastbit_check.check import network_in
from lastbit_check.derive.conclude import Balance
from lastbit_check.derive.derivation import derive
from lastbit_check.question import ANY_TWO, LAST_BIT
from soundness.harness import built
from soundness.small import certified
from support.networks import RandomNetwork
from support.swept import random_images
from support.vision import loaded

pytestmark = pytest.mark.slow

BENCH = Path(__file__).parent.parent / "bench"


def test_the_table_of_rounding_is_what_is_certified(tmp_path: Path) -> None:
    """`alone` in float64 is the certified rounding of each sum but for its grid."""
    tightness = runpy.run_path(str(BENCH / "tightness.py"))
    rules, real = tightness["rules"], tightness["real"]
    compared = 0
    for seed in range(6):
        model, network = built(RandomNetwork(seed).b, tmp_path)
        normal = network_in(model)
        derivation = derive(normal, LAST_BIT, hints_for(network))
        sizes = {name: value.magnitude for name, value in derivation.values.items()}
        charged = Balance(derivation, ANY_TWO).node_roundings(0)
        pair = derivation.ledger.pairs[0]
        _, values = execute_float64(network, np.full(network.input_shape, 255, np.uint8))
        single = {name: from_float(np.abs(v)[..., None], 30)[0] for name, v in values.items()}
        for node in normal.computed:
            if node.sum is None:
                continue
            row = rules(derivation, node, sizes, real(sizes[node.name]), pair)
            certified_one = float(charged[node.name].largest())
            if len(node.sum.parts) == 1 and not node.sum.constants:
                compared += 1
                assert row["alone"] / 1.001 <= certified_one <= row["alone"] * 1.02 + 1e-20
            assert row["own"] <= row["alone"] * (1 + 1e-12)
            assert row["alone"] <= row["any tree"] * (1 + 1e-12)
            assert row["any tree"] <= row["n u"] * (1 + 1e-12)
            one = rules(derivation, node, single, real(single[node.name]), pair)
            assert one["any tree"] <= row["any tree"] * (1 + 1e-6)
    assert compared >= 6


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
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each method added to another makes the bounds no larger; those of one program are less."""
    certified(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    runpy.run_path(str(BENCH / "methods.py"))["main"](str(tmp_path))
    printed = [re.split(r"\s{2,}", line.strip()) for line in capsys.readouterr().out.splitlines()]
    rows = {cells[0]: cells[1:] for cells in printed[1:] if len(cells) == 8}
    assert [*rows][1:3] == ["lp", "norms"]
    one, two = ({k: float(row[c]) for k, row in rows.items() if row[c] != "-"} for c in (0, 3))
    for found in (one, two):
        core, exact, trees, sdp = (
            found[k] for k in ("linear-core", "exact form", "and trees", "and sdp")
        )
        assert core * 1.00001 >= exact >= trees >= sdp > 0
        assert found["norms"] > 0
    assert "lp" not in one and two["linear-core"] * 1.00001 >= two["lp"]
    assert all(one[k] <= two[k] for k in one)


def test_stages_are_timed_where_a_revision_has_them() -> None:
    """Calls of a stage add up, one that fails counts, and what is not there is passed over."""
    stages = runpy.run_path(str(BENCH / "stages.py"))
    module = ModuleType("revision")
    module.__dict__["half"] = lambda x: x / 2
    found: dict[str, tuple[float, float]] = {}
    stages["watched"](found, module, half="halves", absent="nothing")
    assert module.__dict__["half"](4) == 2
    first = found["halves"][0]
    with pytest.raises(TypeError):
        module.__dict__["half"]("4")
    assert [*found] == ["halves"]
    assert found["halves"][0] >= first >= 0
    assert 0 < found["halves"][1] < 1000


def test_the_figures_of_sweeps_are_of_what_was_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = runpy.run_path(str(BENCH / "sweep.py"))
    files = resolve_model(certified(tmp_path) / "model.onnx")
    np.save(tmp_path / "i.npy", random_images(3, 6))
    images = bench["images_of"](files, str(tmp_path / "i.npy"), 2)
    bench["against_brute_force"](files, images)
    found = re.search(r"executions  (\d+) of (\d+)", capsys.readouterr().out)
    assert found and int(found[2]) == 2 * 37 and 2 < int(found[1]) <= 2 * 37 + 2 * 3


def test_networks_of_timm_are_read_or_refused_by_name(tmp_path: Path) -> None:
    with loaded():
        zoo, reasons = runpy.run_path(str(BENCH / "zoo.py")), Counter[str]()
        name, verdict, apart, _, _ = zoo["row"]("timm:test_efficientnet", 32, tmp_path, reasons)
        assert (name, verdict) == ("timm:test_efficientnet", "read")
        assert 0 < float(apart) < 1e-4
        assert zoo["row"]("timm:test_vit", 160, tmp_path, reasons)[1] == "refused"
    assert reasons
