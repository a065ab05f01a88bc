"""What users touch in Python."""

import doctest
import subprocess
import sys
from dataclasses import FrozenInstanceError
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import lastbit
from lastbit import api, on_images
from lastbit.cli import main
from lastbit.errors import DataError, UsageError
from lastbit.graph import OnnxBuilder
from lastbit.models.given import files_of
from lastbit.report import page
from lastbit_check.question import ANY_TWO, LAST_BIT, SAME_PROGRAM


def grey(path: Path, *, scale: float = 1.0) -> Path:
    """A network that reads the mean of 16 pixels."""
    b = OnnxBuilder()
    mean = b.mean(b.div(b.input_bytes((1, 4, 4)), 255.0))
    b.softmax(b.dense(mean, [[scale], [-scale]]))
    return b.save(path)


@pytest.mark.parametrize("module", [api, on_images])
def test_the_examples(tmp_path: Path, module: ModuleType) -> None:
    found = doctest.testmod(module, extraglobs={"folder": tmp_path})
    assert found.attempted >= 8 and found.failed == 0


@pytest.fixture(scope="module")
def verdict(tmp_path_factory: pytest.TempPathFactory) -> lastbit.Verdict:
    return lastbit.prove(grey(tmp_path_factory.mktemp("grey") / "<i>grey.onnx"))


class Text(HTMLParser):
    """The text of a page, its numbers, and the names of its tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words, self.values, self.tags = list[str](), list[str](), set[str]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.values += [dict(attrs)["value"] or ""] if tag == "data" else []

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_a_verdict_shows_itself(verdict: lastbit.Verdict) -> None:
    shown = verdict._repr_html_()
    assert shown is not None
    found = Text(shown)
    text = " ".join(found.words)
    assert "proved" in text and "not known" not in text
    assert [float.fromhex(v) for v in found.values] == [
        verdict.upper[SAME_PROGRAM], verdict.upper[ANY_TWO],
    ]  # fmt: skip
    for name in verdict.assumptions[SAME_PROGRAM]:
        assert name in text
    assert len(repr(verdict)) < 200


def test_a_check_shows_itself(verdict: lastbit.Verdict, tmp_path: Path) -> None:
    checked = lastbit.check(str(verdict.certificate))
    shown = checked._repr_html_()
    assert checked.accepted and shown is not None and "accepted" in shown
    other = tmp_path / "certificate.json"
    other.write_text(verdict.certificate.read_text().replace('"absorbed": ""', '"absorbed": "<b>"'))
    rejected = lastbit.check(other, grey(tmp_path / "grey.onnx"))
    shown = rejected._repr_html_()
    assert not rejected.accepted and shown is not None
    assert "certificate.digest" in repr(rejected) and "certificate.digest" in shown
    assert "rejected" in shown and 'class="good"' not in shown


def test_a_bound_of_1_is_no_success(tmp_path: Path) -> None:
    verdict = lastbit.prove(grey(tmp_path / "steep.onnx", scale=1e6))
    shown = verdict._repr_html_()
    assert verdict.verdict == "not decided"
    assert shown is not None and "this says nothing" in shown and 'class="good"' not in shown


def test_without_the_extra_notebooks_show_text(
    verdict: lastbit.Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "available", lambda: False)
    assert verdict._repr_html_() is None and repr(verdict).startswith("Verdict('proved'")
    monkeypatch.setattr(page, "available", lambda: False)
    page._environment.cache_clear()
    with pytest.raises(lastbit.errors.MissingExtraError, match="report"):
        page.render_part([], {}, verdict="", model="")


def test_a_question_may_be_given(tmp_path: Path) -> None:
    model = grey(tmp_path / "net.onnx")
    question = LAST_BIT
    assert files_of(model, question).question == question
    assert files_of(model).question is None
    assert files_of(files_of(model), question).question == question
    with pytest.raises(UsageError, match="no model"):
        files_of(tmp_path / "other.onnx")


def test_names_for_users_are_few_and_late() -> None:
    """`import lastbit` reads nothing heavy; each name is there once it is asked for."""
    program = (
        "import sys, lastbit\n"
        "assert not {'onnx', 'onnxruntime', 'lastbit.api'} & sys.modules.keys()\n"
        "import lastbit.audit.page\n"  # the package, which is called like the function
        "assert all(callable(getattr(lastbit, name)) for name in lastbit.__all__)\n"
        "assert not hasattr(lastbit, 'nothing')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_audit_is_a_package_that_can_be_called(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(
        import_module("lastbit.audit.audit"),
        "run_audit",
        lambda files, **named: asked.append(files),
    )
    lastbit.audit("zero")
    assert [files.name for files in asked] == ["zero"]


IMAGES = np.arange(64, dtype=np.uint8).reshape(4, 4, 4)


def test_a_sweep_is_the_command_s_and_shows_itself(tmp_path: Path) -> None:
    model, stages = grey(tmp_path / "grey.onnx"), set[str]()
    found = lastbit.sweep(
        model, IMAGES, by_place=True, out=tmp_path / "out",
        progress=lambda stage, done, total: stages.add(stage),
    )  # fmt: skip
    np.save(tmp_path / "images.npy", IMAGES)
    said = [
        "sweep",
        str(model),
        "--data",
        str(tmp_path / "images.npy"),
        "--map",
        "--processes",
        "1",
    ]
    assert main([*said, "--out", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "sweep.json").read_bytes() == found.content
    assert stages and found.by_place is not None and len(found.by_place) == 16
    assert found.maximum == max(one.change for one in found.by_place if one)
    slow = lastbit.sweep(model, str(tmp_path / "images.npy"), by_place=True, brute_force=True)
    assert slow.content == found.content and slow.executions >= slow.brute_force == 4 * 17
    text = Text(found._repr_html_() or "")
    assert {"table", "img"} <= text.tags and repr(found.maximum) in " ".join(text.words)
    assert found.maximum in map(float.fromhex, text.values)
    with pytest.raises(FrozenInstanceError):
        found.verdict = "other"  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(DataError, match="do not fit"):
        lastbit.sweep(model, np.zeros((1, 5, 5), np.uint8))


def test_brackets_at_images_show_themselves(tmp_path: Path) -> None:
    model = grey(tmp_path / "grey.onnx")
    found = lastbit.prove(model, images=IMAGES, sample=3)
    assert found.verdict == "proved" and len(found.brackets) == len(found.numbers) == 3
    assert found.certificate == tmp_path / "grey" / "images" / "certificate.json"
    swept = lastbit.sweep(model, IMAGES)
    assert found.lower <= swept.maximum <= found.upper < 1e-3
    text = Text(found._repr_html_() or "")
    assert {"table", "img"} <= text.tags
    assert {one.upper for one in found.brackets} <= {*map(float.fromhex, text.values)}
    with pytest.raises(UsageError, match="number from 1 to 4"):
        lastbit.prove(model, images=IMAGES, sample=5)
    with pytest.raises(UsageError, match="a sample is of images"):
        lastbit.prove(model, sample=5)  # pyright: ignore[reportCallIssue]
    with pytest.raises(UsageError, match="about all images"):
        lastbit.prove(model, images=IMAGES, memory=1e9)  # pyright: ignore[reportArgumentType]
