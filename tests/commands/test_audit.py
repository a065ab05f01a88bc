"""`lastbit audit`: what it prints and writes, and that a runtime that breaks a rule is named."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from lastbit.audit import audit as library, network, page as pages
from lastbit.audit.exhaustive import SEGMENT, exhaustive
from lastbit.audit.functions import Implementation
from lastbit.audit.structure.runtimes import onnx_structure
from lastbit.audit.telling import KINDS
from lastbit.audit.told import Told, told
from lastbit.cli import main
from lastbit.float32 import correctly_rounded_exp, correctly_rounded_sigmoid
from lastbit.graph import Float32Array
from soundness.small import model as small_model
from support.audited import audited, chosen, residual


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model.onnx").write_bytes(small_model())
    return tmp_path / "model.onnx"


def listed(*extra: Implementation) -> tuple[list[Implementation], dict[str, str]]:
    found = [
        Implementation("ours 1", "sigmoid", "contiguous", correctly_rounded_sigmoid),
        Implementation("ours 1", "exp", "contiguous", correctly_rounded_exp),
        Implementation("ours 1", "exp", "short", correctly_rounded_exp),
    ]
    return [*found, *extra], {"theirs": "not installed"}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of our functions, two executions, ONNX Runtime's graphs: an audit of a second."""
    monkeypatch.setattr(library, "implementations", lambda compiled: listed())
    monkeypatch.setattr(library, "tell", lambda per_kind, progress: [])
    everything = network.executions

    def some(subject, *, compiled: bool, device: str):
        found, missing = everything(subject, compiled=False, device=device)
        return chosen(found, "largest first", "optimised, fused"), missing

    def graphs(found, network, *, compiled: bool):
        return [onnx_structure(found, level) for level in ("off", "all")], {}

    monkeypatch.setattr(network, "executions", some)
    monkeypatch.setattr(network, "structures", graphs)


@pytest.fixture
def told_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """One network made to tell."""
    one = next(kind for kind in KINDS if kind.name == "biases")
    monkeypatch.setattr(library, "tell", lambda per_kind, progress: [told(one, 2)])


@pytest.mark.slow
@pytest.mark.usefixtures("told_one")
def test_a_quick_audit_of_everything_installed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = audited(residual(), tmp_path).path
    assert main(["audit", str(model), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["failures"], found["exhaustive"]) == ("met", [], False)
    assert {row["function"] for row in found["functions"]} == {
        *("exp", "sigmoid", "silu", "tanh", "erf", "gelu"),
        *("hardsigmoid", "hardswish", "elu", "gelutanh", "mish", "softplus", "softsign"),
    }
    assert all(row["meets"] and row["share"]["far"] <= 1 for row in found["functions"])
    caught = {row["setting"] for row in found["executions"] if not row["within"]}
    assert "bfloat16 autocast" in caught
    assert all(row["share"] <= 1 and row["outside"] == 0 for row in found["executions"]
               if row["covered"])  # fmt: skip
    assert not caught & {row["setting"] for row in found["executions"] if row["covered"]}
    assert "6 constant" in found["images"]
    levels = [g["setting"] for g in found["graphs"] if g["runtime"].startswith("onnxruntime")]
    assert levels == ["off", "basic", "extended", "layout", "all (its default)"]
    assert all(not g["not_allowed"] and set(g["rewritings"]) >= {"sum", "scale", "hide"}
               for g in found["graphs"])  # fmt: skip
    (one,) = found["told"]
    assert one["name"] == "biases 2"
    assert all(one["attained"][name] <= upper for name, upper in one["upper"].items())


@pytest.mark.usefixtures("few")
def test_the_page_is_the_same_each_time(
    model: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("a.md", "b.md"):
        assert main(["audit", str(model), "--out", str(tmp_path / name)]) == 0
    text = (tmp_path / "a.md").read_text()
    assert text == (tmp_path / "b.md").read_text()
    assert text.count("\n## ") == 5
    assert "| exp | exp-relative-2^-20 | 16 u exp(x), + 2^-126 |" in text
    assert "4 u, near 2 u" in text
    assert "* Not run: theirs: not installed." in text
    assert text.rstrip().endswith("within its bounds.")
    assert "verdict: met; written to" in capsys.readouterr().out
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    tables = {line.count(" | ") for line in rows}
    assert len(tables) <= 5


@pytest.mark.usefixtures("few")
def test_a_runtime_that_breaks_an_assumption_is_named_and_the_code_is_1(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fast_sigmoid(z: Float32Array) -> Float32Array:
        return correctly_rounded_sigmoid(z) + np.float32(5 * 2.0**-24)

    bad = Implementation("hasty 2", "sigmoid", "strided", fast_sigmoid)
    monkeypatch.setattr(library, "implementations", lambda compiled: listed(bad))
    assert main(["audit", str(model), "--json", "--out", str(tmp_path / "p.md")]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "not met"
    (said,) = found["failures"]
    assert said == ("hasty 2 does not meet sigmoid-absolute-4u-2u-u/16 (sigmoid, strided)")
    assert f"* {said}" in (tmp_path / "p.md").read_text()
    assert main(["audit", str(model)]) == 1
    assert said in " ".join(capsys.readouterr().out.split())


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("covered", [True, False])
def test_an_execution_that_is_not_as_expected_is_named(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, covered: bool
) -> None:
    """One that leaves its bounds, and one that is not covered and stays within them."""
    reference = network.executions

    def spoilt(*arguments, **options):
        (first, *_), missing = reference(*arguments, **options)

        def start():
            run = first.start()

            def spoil(images):
                values = dict(run(images))
                name = [*values][-1]
                return {**values, name: values[name] * np.float32(1 + 2.0**-9)}

            return spoil if covered else run

        return [type(first)("spoilt 3", "some", start, 1, covered=covered)], missing

    monkeypatch.setattr(network, "executions", spoilt)
    assert main(["audit", str(model), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    (said,) = found["failures"]
    wanted = "leaves its bounds at" if covered else "is not covered, and was not caught"
    assert said.startswith("spoilt 3, some")
    assert wanted in said


@pytest.mark.usefixtures("few")
def test_a_full_audit_goes_on_where_it_was_interrupted(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pages, "PATTERNS", 2 * SEGMENT)
    out, state = tmp_path / "page.md", tmp_path / "page.state.json"
    seen: list[int] = []

    def watched(*arguments, progress, **options):
        def watch(stage: str, done: int, total: int) -> None:
            seen.append(done)
            if len(seen) == 2:
                raise KeyboardInterrupt

        return exhaustive(*arguments, progress=watch, patterns=2 * SEGMENT, **options)

    monkeypatch.setattr(library, "exhaustive", watched)
    arguments = ["audit", str(model), "--full", "--out", str(out)]
    assert main(arguments) == 130
    assert "interrupted" in capsys.readouterr().err
    assert state.exists()
    assert not out.exists()
    assert main(arguments) == 0
    assert seen == [0, 1, 1, 2]
    assert not state.exists()
    assert "all 2^32 bit patterns" in out.read_text()
    assert "lastbit audit --full" in out.read_text()


@pytest.mark.usefixtures("few")
def test_a_graph_that_is_not_allowed_is_named_and_the_code_is_1(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One that matches nothing, one in which what two read is computed twice, one that exceeds."""

    def graphs(found, network, *, compiled: bool):
        one = onnx_structure(found, "off")
        broken = replace(one, broken=("Winograd (y): no operator that is known here",))
        return [broken, replace(one, unequal=("x is computed in two kernels",))], {}

    exceeded = Told("biases 9", b"", {}, {}, {}, ("biases 9: hasty 4 attains 1, more than 0.1",))
    monkeypatch.setattr(network, "structures", graphs)
    monkeypatch.setattr(library, "tell", lambda per_kind, progress: [exceeded])
    assert main(["audit", str(model), "--json", "--out", str(tmp_path / "p.md")]) == 1
    found = json.loads(capsys.readouterr().out)
    assert len(found["failures"]) == 3
    for said in ("Winograd (y)", "x is computed in two kernels", "hasty 4 attains 1"):
        assert any(said in failure for failure in found["failures"])
        assert said in (tmp_path / "p.md").read_text()
    text = (tmp_path / "p.md").read_text()
    assert "**matches no allowed rewriting**" in text
    assert "**computed-once does not hold**" in text
    assert "**exceeded**" in text


def test_a_model_without_bounds_is_not_decided(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from commands.test_prove import small

    monkeypatch.setattr(library, "implementations", lambda compiled: listed())
    monkeypatch.setattr(library, "tell", lambda per_kind, progress: [])
    model = small(tmp_path / "net.onnx", scale=1e12, layers=4)
    assert main(["audit", str(model), "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "not decided"
    assert "finite.values" in found["refused"]
    assert found["executions"] == []


def test_what_cannot_be_written_is_said_before_the_work(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("lastbit.audit.run_audit", partial(pytest.fail, "the work has begun"))
    assert main(["audit", str(model), "--out", str(tmp_path / "no" / "p.md")]) == 2
    assert "--out" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    assert main(["audit", str(model), "--full"]) == 2


def test_a_reference_that_is_too_coarse_judges_nothing(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "EXP_ULPS", 0.1)
    assert main(["audit", str(model), "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert found["error"]["kind"] == "PlatformError"
