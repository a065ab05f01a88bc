"""`lastbit explain`: what a certificate says of a node, and where U is lost."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lastbit.certificate import draft, write
from lastbit.cli import main
from lastbit.errors import EXIT_OK, EXIT_REJECTED, EXIT_USAGE
from lastbit.float32 import execute
from lastbit.graph import OnnxBuilder, read_onnx
from lastbit.hints import hints_for
from lastbit.hints.explained import explained, parts_of_nodes
from lastbit_check.certificate import digest
from lastbit_check.check import proved
from lastbit_check.question import EXECUTIONS, LAST_BIT, SAME_PROGRAM, Move, asking
from support.absorbing import absorber
from support.networks import random_images, random_network


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network with a certificate."""
    path, random = tmp_path_factory.mktemp("explained"), np.random.default_rng(5)
    b = OnnxBuilder()
    x = b.affine(b.div(b.input_bytes((1, 6, 6)), 255), "sub", np.float32(0.13))
    x = b.silu(b.conv(x, random.normal(size=(3, 1, 3, 3)), random.normal(size=3), stride=2))
    x = b.affine(x, "mul", np.float32(2.0**-12))
    x = b.silu(b.conv(x, random.normal(size=(3, 3, 1, 1)), random.normal(size=3) * 2.0**-12))
    x = b.affine(b.mean(x), "mul", np.float32(2.0**12))
    b.softmax(b.dense(x, random.normal(size=(3, 3)), random.normal(size=3)))
    model = b.save(path / "model.onnx")
    write(path / "certificate.json", draft(model.read_bytes(), hints_for(read_onnx(model))))
    return path


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["explain", *arguments, "--json"]) == EXIT_OK
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("executions", EXECUTIONS)
def test_the_parts_add_up_to_u_and_come_by_size(
    folder: Path, capsys: pytest.CaptureFixture[str], executions: str
) -> None:
    listed = said(capsys, str(folder), "--executions", executions)
    shares = [row["share"] for row in listed["nodes"]]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1, rel=1e-9)
    claim = json.loads((folder / "certificate.json").read_text())["claim"][executions]
    assert listed["upper"] == float.fromhex(claim["upper"])
    names = [row["name"] for row in listed["nodes"]]
    assert {"(first layers)", "(softmax)"} <= {*names}
    assert len(names) == len({*names})


@pytest.mark.parametrize("executions", EXECUTIONS)
def test_the_parts_of_a_chain_of_moves_add_up_to_u(folder: Path, executions: str) -> None:
    model = folder / "model.onnx"
    hints = hints_for(read_onnx(model))
    derived = proved(model.read_bytes(), asking(Move("levels", 2, 3)), hints)
    claim = derived.claims[executions]
    assert len(claim.before) == 2 and 0 < claim.upper < 1
    whole = sum(part.size for part in parts_of_nodes(derived, executions))
    assert abs(whole - claim.upper) <= claim.upper * Fraction(1, 2**40)


def test_one_node_is_told_as_in_the_list(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = {row["name"]: row for row in said(capsys, str(folder))["nodes"]}
    for name in listed.keys() - {"(first layers)", "(softmax)"}:
        one = said(capsys, str(folder), name)
        assert one["share"] == listed[name]["share"]
        assert one["terms"] == listed[name]["terms"]
        assert one["low"] <= one["high"]
        assert one["rules"]
    silu = next(name for name, row in listed.items() if row["operator"] == "silu")
    one = said(capsys, str(folder), silu)
    assert any(rule == "operators/curves" for rule in one["rules"])
    assert any(name.startswith("silu-absolute") for name in one["assumptions"])
    assert main(["explain", str(folder), silu]) == EXIT_OK
    assert silu in capsys.readouterr().out


@pytest.mark.parametrize("seed", range(3))
def test_what_is_said_of_ranges_holds_where_it_is_run(tmp_path: Path, seed: int) -> None:
    path, network = random_network(tmp_path, seed)
    derived = proved(path.read_bytes(), LAST_BIT, hints_for(network))
    nodes = {part.name: explained(derived, SAME_PROGRAM, part.name)
             for part in parts_of_nodes(derived, SAME_PROGRAM) if part.name[0] != "("}  # fmt: skip
    for image in random_images(network, seed):
        _, shown = execute(network, image, keep=True)
        met = nodes.keys() & shown.keys()
        assert len(met) > 3
        for name in met:
            assert float(nodes[name].low) <= shown[name].min()
            assert shown[name].max() <= float(nodes[name].high)


def test_hints_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = json.loads((folder / "certificate.json").read_text())
    for name in manifest["slopes"]:
        assert "slopes" in said(capsys, str(folder), name)["hints"]
    for name in manifest["bases"]:
        assert "base" in said(capsys, str(folder), name)["hints"]


def test_where_a_node_absorbs_the_bit_nothing_has_a_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.onnx").write_bytes(absorber())
    assert main(["prove", str(tmp_path / "model.onnx"), "--out", str(tmp_path)]) == EXIT_OK
    listed = said(capsys, str(tmp_path))
    assert listed["upper"] == 0
    assert all(row["share"] == 0 for row in listed["nodes"])
    absorbed = json.loads((tmp_path / "certificate.json").read_text())["absorbed"]
    one = said(capsys, str(tmp_path), absorbed)
    assert one["hints"]["absorbed"]
    assert "refine/byte_tables" in one["rules"]


def test_a_name_that_is_none_is_met_by_near_ones(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", str(folder), "slu_4"]) == EXIT_USAGE
    err = capsys.readouterr().err
    assert "there is no node 'slu_4'" in err
    assert "silu_" in err


def test_what_is_no_certificate_or_is_rejected(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", str(tmp_path / "none.json")]) == EXIT_USAGE
    assert main(["explain", str(folder), "--executions", "some"]) == EXIT_USAGE
    assert main(["explain", str(folder / "model.onnx")]) == EXIT_USAGE
    fields = json.loads((folder / "certificate.json").read_text())
    claim = fields["claim"][SAME_PROGRAM]
    claim["upper"] = (float.fromhex(claim["upper"]) / 2).hex()
    fields["digest"] = digest(fields)
    (tmp_path / "certificate.json").write_text(json.dumps(fields))
    capsys.readouterr()
    model = ["--model", str(folder / "model.onnx")]
    assert main(["explain", str(tmp_path / "certificate.json"), *model]) == EXIT_REJECTED
    assert "rejected by rule claim.same-program" in capsys.readouterr().err
