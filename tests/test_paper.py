"""PROOF.md and the map of the proof say what certificates and sources say, and cannot go stale."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lastbit.report.words import ASSUMED
from paper import typeset, write
from paper.claims import Claim, certificate, network
from paper.coq import PROOFS, Library
from paper.drawing import COLOURS, drawn
from paper.graph import CLASSES, LEMMAS, RULES, THEOREMS_OF_MODELS, Map, mapped, the_map
from paper.rules import CHECKER, modules, rules, unmarked
from paper.values import values
from soundness.rejected.places import places

ROOT = Path(__file__).parents[1]
PROOF = (ROOT / "PROOF.md").read_text("utf-8")
RULE = '"""What it does.\n\nMap: {line}\n"""\nrequire(True, "some.rule", "")\n'


@pytest.fixture(scope="module")
def made() -> Map:
    return the_map()


# PROOF.md


def test_what_is_written_is_what_is_there() -> None:
    """PROOF.md, docs/map.md, docs/map.svg; `make paper` writes them anew."""
    stale = [path.name for path, text in write.pages().items() if path.read_text("utf-8") != text]
    assert stale == []


def test_a_number_of_the_certificate_is_one_of_the_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    known, template = values(), write.TEMPLATE.read_text("utf-8")
    assert write.filled(template, known) == PROOF
    said = certificate("tight")["claim"]["same-program"]
    monkeypatch.setitem(said, "upper", (0.2).hex())
    assert write.filled(template, values()) != PROOF
    assert values()["tight.U1"] == "0.200000"


def test_a_proof_of_another_layer_or_theorem_is_not_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = certificate("zero")
    monkeypatch.setitem(said, "absorbed", "blocks.0.0.conv_dw")
    with pytest.raises(ValueError, match="first layer of zero"):
        values()
    monkeypatch.undo()
    monkeypatch.setitem(certificate("tight"), "model_sha256", "0" * 64)
    with pytest.raises(ValueError, match=r"theorem\.log is about another file"):
        values()


@pytest.mark.parametrize("known", [{}, {"a": "1", "b": "2"}])
def test_a_value_that_is_missing_or_not_used_is_an_error(known: dict[str, str]) -> None:
    assert write.filled("x {{a}}", {"a": "1"}) == "x 1\n"
    with pytest.raises(ValueError, match="do not fit"):
        write.filled("x {{a}}", known)


def test_formulas_have_nothing_that_markdown_takes_for_its_own() -> None:
    """A line break inside of a paragraph, a list's sign at the start of a line, escapes, ..."""
    displayed = re.findall(r"^\$\$(.*?)\$\$$", PROOF, re.M | re.S)
    assert len(displayed) > 20
    assert not [f for f in displayed if re.search(r"^\s*[-+*=#>|]", f, re.M)]
    rest = re.sub(r"^\$\$.*?\$\$$", "", PROOF, flags=re.M | re.S)
    every = [*displayed, *re.findall(r"\$([^$]+)\$", rest)]
    assert [f for f in every if re.search(r"\\[^A-Za-z]|[^\w\s]_\w", f)] == []  # Markdown's, too
    assert [line for line in rest.splitlines() if line.count("$") % 2] == []
    long = [line for line in rest.splitlines() if len(line) > 100 and not line.startswith("|")]
    assert long == []


def test_what_the_proof_names_is_there(made: Map) -> None:
    names = {*re.findall(r"`([^`\n]+)`", PROOF)}
    words = {word for name in names for word in name.split()}
    paths = {word for word in words if re.fullmatch(r"[\w./]+\.(py|v|md|onnx|json)|[\w/]+/", word)}
    known = [ROOT, CHECKER, PROOFS]
    assert len(paths) > 15
    assert [p for p in paths if not any((folder / p).exists() for folder in known)] == []
    lemmas = {name for name in names if re.fullmatch(r"[a-z]+'?(_[a-z0-9]+)+", name)}
    lemmas -= {node.name for node in network("zero").nodes} | {"lastbit_check"}
    assert len(lemmas) > 20
    assert lemmas <= made.library.marked.keys()
    rejecting = {n for n in names if re.fullmatch(r"[a-z]+\.[a-z]+", n)} - paths
    assert len(rejecting) > 4
    assert rejecting <= {place.rule for place in places()}
    assumed = {name for name in names if name in ASSUMED}
    assert assumed == {*certificate("tight")["assumptions"]["same-program"]}


# The map


def test_every_rule_of_the_checker_is_in_the_map(made: Map) -> None:
    found = [*modules()]
    assert unmarked(found) == []
    held = {name for rule in made.rules.values() for name in rule.rejections}
    assert {place.rule for place in places()} == held
    assert {rule.name for rule in made.rules.values()} == {n.name for n in made.inside(RULES)}


def test_a_rule_without_a_mark_is_found(tmp_path: Path) -> None:
    (tmp_path / "new.py").write_text('"""New."""\nrequire(False, "new.rule", "no")\n')
    (tmp_path / "plain.py").write_text('"""Nothing that rejects."""\n')
    assert unmarked([*modules(tmp_path)]) == ["new.py"]


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (["one <- forms, dual_bound; argued in PROOF.md 3.2, 3.4"], None),
        (["one <- forms; argued in PROOF.md 3.2", "one"], None),
        (["one <- forms, argued in PROOF.md"], "no line of the map"),
        (["one two"], "no line of the map"),
        (["one; argued on paper"], "no line of the map"),
        (["one"], "one whole line"),
        (["one <- forms", "one; a definition"], "one whole line"),
    ],
)
def test_a_mark_is_read_in_one_way(lines: list[str], fault: str | None, tmp_path: Path) -> None:
    for k, line in enumerate(lines):
        (tmp_path / f"m{k}.py").write_text(RULE.format(line=line))
    if fault is None:
        assert rules([*modules(tmp_path)])["one"].rejections == ("some.rule",)
        return
    with pytest.raises(ValueError, match=fault):
        rules([*modules(tmp_path)])


def test_a_mark_that_names_what_is_not_there_is_an_error(made: Map) -> None:
    claim = Claim("one", "one: U = 0.5", ("duals",), ("deterministic",))
    mapped([claim], made.rules, made.library, ASSUMED)
    other = replace(made.rules["duals"], rests_on=("dual_bound", "no_such_lemma"))
    with pytest.raises(ValueError, match="duals rests on no_such_lemma"):
        mapped([claim], {**made.rules, "duals": other}, made.library, ASSUMED)
    with pytest.raises(ValueError, match="one rests on no-such-rule"):
        mapped([replace(claim, rules=("no-such-rule",))], made.rules, made.library, ASSUMED)


def test_an_assumption_without_a_node_is_an_error(made: Map) -> None:
    claim = Claim("one", "one: U = 0.5", ("duals",), ("deterministic", "new-assumption"))
    with pytest.raises(ValueError, match="one rests on new-assumption"):
        mapped([claim], made.rules, made.library, ASSUMED)
    known = {name: words for name, words in ASSUMED.items() if name != "computed-once"}
    with pytest.raises(ValueError, match="rests on computed-once"):
        mapped([], made.rules, made.library, known)


def test_a_theorem_on_which_nothing_rests_is_an_error(made: Map) -> None:
    fewer = {name: rule for name, rule in made.rules.items() if name != "together"}
    with pytest.raises(ValueError, match="nothing rests on norm_cholesky"):
        mapped([], fewer, made.library, ASSUMED)


def test_every_certificate_and_its_assumptions_are_in_the_map(made: Map) -> None:
    for path in sorted((ROOT / "models").rglob("certificate.json")):
        model, *within = path.parent.relative_to(ROOT / "models").parts
        assumed = certificate(model, *within)["assumptions"]
        names = {*assumed} if within else {name for each in assumed.values() for name in each}
        if not within and float.fromhex(certificate(model)["claim"]["same-program"]["upper"]) == 1:
            names = {*assumed["any-two"]}  # all that is claimed is that nothing overflows
        mine = [node.name for node in made.inside(0) if node.name.startswith(f"{model} ")]
        assert mine
        assert names <= {name for one in mine for name in made.below(0, one, 3)}


def test_documents_have_the_sections_that_rules_name(made: Map) -> None:
    named = 0
    for rule in made.rules.values():
        text = (ROOT / rule.document).read_text("utf-8") if rule.document else ""
        for section in rule.sections:
            assert re.search(rf"^##+ {re.escape(section)}\.? ", text, re.M), (rule.name, section)
            named += 1
    assert named > 20


# Coq


def test_every_theorem_of_the_map_has_its_axioms_printed(made: Map) -> None:
    """By proofs/Assumptions.v, so that `make proofs` sees that it exists; or in its own file."""
    printed = (PROOFS / "Assumptions.v").read_text("utf-8")
    groups = re.findall(r"^Definition (\w+) :=(.*?)\.\n", printed, re.M | re.S)
    assert {name for name, _ in groups} == {
        *re.findall(r"^Print Assumptions (\w+)\.", printed, re.M)
    }
    listed = {re.sub(r".*\.", "", name.strip(" ()\n"))
              for _, group in groups for name in group.split(",")}  # fmt: skip
    for name, item in made.library.marked.items():
        own = f"\nPrint Assumptions {name}.\n" in made.library.texts[item.file]
        assert own == (name in THEOREMS_OF_MODELS)
        assert own or name in listed, name


def test_what_a_theorem_rests_on_is_read_off_its_proof(made: Map) -> None:
    rests_on = made.library.rests_on
    assert {"dual_bound", "forms", "unit_rounding", "softmax_change"} <= rests_on("valid_bound")
    assert rests_on("dual_bound") == frozenset()
    assert rests_on("stem_same") >= {"absorbed", "binary32-values"}
    assert "deterministic" not in rests_on("stem_same")
    assert {"deterministic", "binary32-values"} <= rests_on("no_last_bit")
    assert made.below(LEMMAS, "bounded_by_leaves", LEMMAS) == ["cover"]


@pytest.fixture
def small() -> Callable[..., Library]:
    files = {
        "A.v": "(* map: assumes that *)\nDefinition small := 1.\nDefinition other := small.\n"
        "(* map: first *)\nLemma one : other = 1.\nProof. reflexivity. Qed.\n",
        "B.v": "From Lastbit Require Import A.\nLemma between : 1 = 1. Proof. apply one. Qed.\n"
        "(* map: second *)\nTheorem two : 1 = 1. Proof. (* last *) apply between. Qed.\n",
        "C.v": "(* map: third *)\nTheorem last : 1 = 1. Proof. apply two. Qed.\n",
    }
    return lambda **changed: Library({**files, **{f"{k}.v": v for k, v in changed.items()}})


def test_edges_go_through_what_is_not_marked_and_stop_at_marks(
    small: Callable[..., Library],
) -> None:
    library = small()
    assert library.rests_on("one") == {"that"}
    assert library.rests_on("two") == {"one"}  # not `last`, which a comment names
    assert library.rests_on("last") == frozenset()  # C.v does not import B.v


@pytest.mark.parametrize(
    "text",
    [
        "(* map: of a definition *)\nDefinition a := 1.\n",
        "(* map: of nothing *)\n\nLemma a : 1 = 1.\nProof. reflexivity. Qed.\n",
        "Lemma a : 1 = 1.\n(* map: inside *)\nProof. reflexivity. Qed.\n",
    ],
)
def test_a_mark_stands_above_a_theorem(text: str, small: Callable[..., Library]) -> None:
    with pytest.raises(ValueError, match="mark"):
        _ = small(D=text).marked


# The picture, and the PDF


def test_the_picture_says_in_words_what_its_colours_say(made: Map) -> None:
    assert COLOURS.keys() == CLASSES.keys()
    root = ElementTree.fromstring(drawn(made))
    boxes = [g for g in root.findall(".//{*}g") if g.find("{*}rect") is not None]
    assert len(boxes) == len(made.nodes)
    for box in boxes:
        word, *said = ["".join(text.itertext()) for text in box.findall("{*}text")]
        rect = box.find("{*}rect")
        assert rect is not None
        assert rect.attrib["fill"] == COLOURS[word][0]
        assert said[0]
    words = [text.text or "" for text in root.findall(".//{*}text")]
    assert {w.partition(":")[0] for w in words} >= CLASSES.keys()
    assert not re.search(r"href|url\(|script", drawn(made))


def test_boxes_of_a_column_do_not_overlap(made: Map) -> None:
    root = ElementTree.fromstring(drawn(made))
    rects = [rect.attrib for g in root.findall(".//{*}g") for rect in g.findall("{*}rect")]
    assert len({(rect["x"], rect["y"]) for rect in rects}) == len(rects)


def test_the_pdf_has_every_formula(tmp_path: Path) -> None:
    """Pandoc warns of a formula that it cannot read, which is an error there."""
    pytest.importorskip("typst")
    pytest.importorskip("pypandoc")
    typeset.typeset(PROOF, tmp_path / "PROOF.pdf")
    made = (tmp_path / "PROOF.pdf").read_bytes()
    assert made.startswith(b"%PDF-")
    text = typeset.source(PROOF)
    assert text.count("$ ") > 40
    assert "\\$" not in text
    with pytest.raises(RuntimeError, match="Could not convert TeX"):
        typeset.source("$$a \\right) b$$\n")


def test_without_its_extra_the_pdf_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "typst", None)
    assert typeset.main([str(tmp_path / "a.pdf")]) == 2
    assert "typst is not installed" in capsys.readouterr().err
    assert [*tmp_path.iterdir()] == []
