"""`lastbit prove`, `lastbit check` and `lastbit-check` on small networks, and their failures."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lastbit import api
from lastbit.cli import main
from lastbit.commands import prove
from lastbit.graph import OnnxBuilder
from lastbit.models.shipped import resolve_model
from lastbit.witness import measure, write_witness
from lastbit.witness.replay import ReplayResult
from lastbit_check.__main__ import main as check_main
from lastbit_check.question import ANY_TWO, EXECUTIONS, SAME_PROGRAM
from soundness.curved import based, two_curved_layers
from support.absorbing import absorber

pytestmark = pytest.mark.slow

FIELDS = {
    "verdict", "model", "accuracy", "branches", "lower", "upper", "ratio", "assumptions",
    "certificate", "claims", "methods", "refused", "check", "seconds", "says_nothing", "advice",
    "inputs", "change",
}  # fmt: skip


def small(path: Path, scale: float = 1.0, layers: int = 1) -> Path:
    rng = np.random.default_rng(1)
    b = OnnxBuilder()
    x = b.div(b.input_bytes((1, 4, 4)), 255.0)
    for k in range(layers):
        channels = 1 if k == 0 else 2
        weight = scale * rng.normal(size=(2, channels, 3, 3)).astype(np.float32)
        x = b.silu(b.conv(x, weight, np.zeros(2, np.float32), padding=1))
    b.softmax(b.dense(b.mean(x), rng.normal(size=(3, 2)).astype(np.float32)))
    path.parent.mkdir(parents=True, exist_ok=True)
    return b.save(path)


def test_prove_prints_one_object_and_leaves_a_certificate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = small(tmp_path / "net.onnx")
    assert main(["prove", str(model), "--out", str(tmp_path / "c"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == FIELDS
    assert found["verdict"] == "proved" and found["check"]["accepted"] is True
    for executions in EXECUTIONS:
        claim = found["claims"][executions]
        assert claim["parts"].keys() == {"first_layer", "remainder", "rounding", "softmax"}
        assert 0 < claim["value"] <= sum(claim["parts"].values()) * (1 + 1e-12)
        assert found["upper"][executions] == claim["value"] < 1
    assert found["upper"][SAME_PROGRAM] <= found["upper"][ANY_TWO]
    norms = found["methods"]["norms"]
    assert 0 < norms[SAME_PROGRAM] <= norms[ANY_TWO]
    assert norms["claimed"] is False
    certificate = tmp_path / "c" / "certificate.json"
    assert Path(found["certificate"]) == certificate
    assert not any(found["says_nothing"].values()) and found["advice"] is None
    for given in (
        [str(certificate)],
        [str(tmp_path / "c")],
        [str(certificate), "--model", str(model)],
    ):
        assert main(["check", *given]) == 0
        assert "ACCEPTED" in capsys.readouterr().out


def test_a_bound_of_1_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says nothing, and that is the verdict, with what to do; the certificate is accepted."""
    b = OnnxBuilder()
    b.softmax(b.dense(b.mean(b.input_bytes((1, 4, 4))), [[1e4], [-1e4]]))
    model = b.save(tmp_path / "net.onnx")
    assert main(["prove", str(model), "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "not decided" and found["check"]["accepted"]
    assert {*found["upper"].values()} == {1.0} and all(found["says_nothing"].values())
    assert "--images DATA" in found["advice"] and "lastbit train" in found["advice"]
    assert main(["prove", str(model)]) == 3
    said = capsys.readouterr().out
    assert "not decided: all that is proved is U = 1, which says nothing" in said
    assert "what to do" in said and "verdict         proved" not in said


def test_what_prove_printed_can_be_checked_and_replayed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From any folder, wherever certificate and model lie, also after both were moved."""
    model = small(tmp_path / "a" / "net.onnx")
    (tmp_path / "a" / "net").mkdir()
    write_witness(tmp_path / "a" / "net" / "witness.json",
                  measure(model, np.zeros((1, 4, 4), np.uint8), (0, 0), 0))  # fmt: skip
    for out in ([], ["--out", str(tmp_path / "far" / "away")]):
        assert main(["prove", str(model), *out, "--json"]) == 0
        certificate = Path(json.loads(capsys.readouterr().out)["certificate"])
        for command in ("check", "replay"):
            assert main([command, str(certificate)]) == 0
        capsys.readouterr()
    noted = json.loads((tmp_path / "far" / "away" / "model.json").read_text())
    assert noted == {"model": "../../a/net.onnx"}
    (tmp_path / "a").rename(tmp_path / "b")
    monkeypatch.chdir(tmp_path / "b")
    assert main(["replay", "net/witness.json"]) == main(["check", "net"]) == 0
    capsys.readouterr()
    assert main(["check", str(certificate)]) == 2
    assert "--model" in capsys.readouterr().err
    for command in ("check", "replay"):
        assert main([command, str(certificate), "--model", "net.onnx"]) == 0
        assert main([command, str(certificate), "--model", "none.onnx"]) == 2
        assert "--model" in capsys.readouterr().err


def test_a_witness_found_after_the_certificate_is_replayed_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = small(tmp_path / "net.onnx")
    assert main(["prove", str(model)]) == 0
    certificate = str(tmp_path / "net" / "certificate.json")
    assert main(["replay", certificate]) == 2
    assert f"lastbit search {model}" in capsys.readouterr().err
    witness = measure(model, np.zeros((1, 4, 4), np.uint8), (0, 0), 0)
    write_witness(tmp_path / "net" / "witness.json", witness)
    assert main(["replay", certificate]) == 0


def test_a_model_is_no_certificate_and_a_certificate_no_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, however large the file."""
    model = small(tmp_path / "net.onnx")
    assert main(["prove", str(model)]) == 0
    certificate = str(tmp_path / "net" / "certificate.json")
    capsys.readouterr()
    for arguments in (
        ["check", str(model)],
        ["prove", certificate],
        ["drift", certificate],
        ["check", certificate, "--model", certificate],
    ):
        assert main(arguments) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and len(said) < 400
    assert check_main([str(model)]) == 2
    assert len(capsys.readouterr().err) < 400


def test_a_changed_model_beside_its_certificate_is_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = small(tmp_path / "m" / "model.onnx")
    assert main(["prove", str(model)]) == 0
    small(model, scale=2.0)
    assert main(["check", str(model.parent), "--json"]) == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["rule"] == "model.sha256"


def test_branches_go_on_from_the_stored_tree(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lastbit.hints.fitting.hints_for", lambda network, *_: based(network))
    two_curved_layers(0, channels=2).save(tmp_path / "model.onnx")
    found = []
    for leaves in ("0", "4", "7"):
        assert main(["prove", str(tmp_path), "--leaves", leaves, "--json"]) == 0
        printed = capsys.readouterr()
        found.append(json.loads(printed.out))
        assert ("branch and bound: at most" in printed.err) == (leaves != "0")
    none, few, more = (each["branches"] for each in found)
    assert not none and (few[0]["leaves"], more[0]["leaves"]) == (4, 7)
    for executions in EXECUTIONS:
        upper = [each["upper"][executions] for each in found]
        assert upper[0] > upper[1] >= upper[2]
    written = json.loads((tmp_path / "certificate.json").read_text())
    (tree,), (leaves,) = written["trees"].values(), written["claim"]["leaves"].values()
    assert len(tree["splits"]) == 13 and len(leaves) == 7


def test_without_the_cache_another_witness_is_found_and_certified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    model = small(tmp_path / "m" / "model.onnx")
    worst = measure(model, np.zeros((1, 4, 4), np.uint8), (0, 0), 0)
    write_witness(model.with_name("witness.json"), worst)
    monkeypatch.setattr(prove, "SEARCH_SECONDS", 3.0)
    assert main(["prove", str(model), "--no-cache", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "proved"
    lower, upper = found["lower"], found["upper"]
    assert worst.lower < lower[SAME_PROGRAM] <= upper[SAME_PROGRAM]
    assert lower[SAME_PROGRAM] <= lower[ANY_TWO] <= upper[ANY_TWO]
    stored = json.loads(model.with_name("witness.json").read_text())
    assert float.fromhex(stored["lower"]) == worst.lower
    certificate = json.loads(model.with_name("certificate.json").read_text())
    assert float.fromhex(certificate["witness"]["lower"]) == lower[SAME_PROGRAM]


@pytest.mark.parametrize(("changes", "across"), [((1e-9, 0.9), 0.0), ((1e-9, 1e-9), 0.9)])
def test_one_runtime_or_two_that_show_more_than_is_proved_refute_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: tuple[float, float], across: float
) -> None:
    """However little the other one shows."""
    model = small(tmp_path / "m" / "model.onnx")
    witness = measure(model, np.zeros((1, 4, 4), np.uint8), (0, 0), 0)
    shown = ReplayResult(witness, {}, dict(zip("ab", changes, strict=True)), ("a", "b", across))
    monkeypatch.setattr("lastbit.api.replay", lambda *_: shown)
    assert api.prove(resolve_model(model), witness=witness).verdict == "refuted"


def test_a_layer_that_absorbs_makes_the_answer_exactly_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m" / "model.onnx"
    path.parent.mkdir()
    path.write_bytes(absorber())
    write_witness(path.with_name("witness.json"),
                  measure(path, np.zeros((1, 4, 4), np.uint8), (1, 2), 0))  # fmt: skip
    assert main(["prove", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "proved"
    assert found["lower"][SAME_PROGRAM] == found["upper"][SAME_PROGRAM] == 0
    assert found["ratio"][SAME_PROGRAM] == 1
    assert 0 < found["upper"][ANY_TWO] <= 1
    assumed = {"binary32-values", "deterministic"}
    assert assumed <= {*found["assumptions"][SAME_PROGRAM]}
    assert not assumed & {*found["assumptions"][ANY_TWO]}
    assert main(["prove", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "exact" in shown and "deterministic" in shown
    assert main(["replay", str(path)]) == 0
    assert main(["check", str(path.with_name("certificate.json")), "--json"]) == 0
    assert "deterministic" in capsys.readouterr().out


def test_the_checker_runs_without_lastbit(tmp_path: Path) -> None:
    model = small(tmp_path / "net.onnx")
    assert main(["prove", str(model), "--out", str(tmp_path)]) == 0
    code = "import sys; from lastbit_check.__main__ import main; c = main(sys.argv[1:]); " \
           "assert not [m for m in sys.modules if m == 'lastbit' or m.startswith('lastbit.')]; " \
           "assert 'onnx' not in sys.modules; sys.exit(c)"  # fmt: skip
    command = [sys.executable, "-c", code, str(tmp_path / "certificate.json"), str(model)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert line.startswith("lastbit-check: about ")
    assert "ACCEPTED" in done.stdout


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_a_broken_pipe_under_the_checker_is_silent(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    model = small(tmp_path / "net.onnx")
    assert main(["prove", str(model), "--out", str(tmp_path)]) == 0
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "lastbit_check", str(tmp_path / "certificate.json"),
               str(model), *arguments]  # fmt: skip
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert done.returncode == 141
    (line,) = done.stderr.splitlines()
    assert line.startswith(b"lastbit-check: about ")


def test_a_network_that_may_overflow_is_not_proved_and_its_node_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = small(tmp_path / "net.onnx", scale=1e12, layers=4)
    assert main(["prove", str(model), "--out", str(tmp_path / "c"), "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "not decided"
    assert found["refused"]["rule"] == "finite.values"
    assert found["refused"]["node"].startswith("conv")
    assert not (tmp_path / "c").exists()


def test_another_model_is_rejected_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, other = small(tmp_path / "a.onnx"), small(tmp_path / "b.onnx", scale=2.0)
    assert main(["prove", str(model), "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    certificate = str(tmp_path / "certificate.json")
    assert check_main([certificate, str(other)]) == 1
    assert "model.sha256" in capsys.readouterr().out
    assert main(["check", certificate, "--model", str(other), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["rule"] == "model.sha256"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": "lastbit-certificate-6"}'])
def test_what_is_no_certificate_is_not_accepted(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "certificate.json"
    path.write_bytes(content)
    model = small(tmp_path / "net.onnx")
    assert check_main([str(path), str(model)]) in (1, 2)
    assert "Traceback" not in capsys.readouterr().err


def test_an_output_that_is_a_file_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = small(tmp_path / "net.onnx")
    (tmp_path / "blocked").write_text("mine")
    assert main(["prove", str(model), "--out", str(tmp_path / "blocked")]) == 2
    assert "--out" in capsys.readouterr().err
    assert (tmp_path / "blocked").read_text() == "mine"


def test_usage_of_the_checker(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, code in (([], 2), (["a.json", "b.onnx", "c"], 2), (["--help"], 0)):
        with pytest.raises(SystemExit) as stopped:
            check_main(arguments)
        assert stopped.value.code == code
    assert "Exit codes" in capsys.readouterr().out
