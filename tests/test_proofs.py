"""The Coq files prove what they say: nothing admitted, nothing assumed, every file built.

`make proofs` compiles them; here they are read, and only the definitions are compiled.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

PROOFS = Path(__file__).resolve().parents[1] / "proofs"
FILES = sorted(p for p in PROOFS.rglob("*.v") if p.name != "Data.v")  # that one is generated
NAMES = [str(p.relative_to(PROOFS)) for p in FILES]

UNPROVED = re.compile(r"\b(Admitted|admit|give_up|Abort)\b")
ASSUMED = re.compile(
    r"^\s*(?:#\[[^]]*\]\s*)?(?:Local\s+|Global\s+)?(Axioms?|Parameters?|Conjectures?)\b", re.M
)
EVENTS = re.compile(
    r"\bSection\s+(?P<opened>\w+)\s*\.|\bEnd\s+(?P<closed>\w+)\s*\."
    r"|^\s*(?:Local\s+)?(?P<assumed>Variables?|Hypothes[ie]s|Context)\b",
    re.M,
)
UNCHECKED = re.compile(
    r"native_compute|\b(Unset|bypass_check)\b[^.]*(Guard|Positivity|Universe|guard)"
)


def without_comments(text: str) -> str:
    """The text with nested (* comments *) replaced by blanks, line breaks kept."""
    out, depth, i = list[str](), 0, 0
    while i < len(text):
        if text.startswith("(*", i):
            depth, i = depth + 1, i + 2
        elif depth and text.startswith("*)", i):
            depth, i = depth - 1, i + 2
        else:
            out.append(text[i] if not depth or text[i] == "\n" else " ")
            i += 1
    return "".join(out)


def gaps(text: str) -> list[str]:
    """Every place where ``text`` leaves something unproved."""
    code = without_comments(text)
    found = [
        m.group(0).strip() for rule in (UNPROVED, ASSUMED, UNCHECKED) for m in rule.finditer(code)
    ]
    open_sections: list[str] = []
    for m in EVENTS.finditer(code):
        if m["opened"]:
            open_sections.append(m["opened"])
        elif m["closed"] and m["closed"] in open_sections:
            open_sections.remove(m["closed"])
        elif m["assumed"] and not open_sections:
            found.append(m["assumed"])
    return found


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_nothing_is_left_unproved(path: Path) -> None:
    assert gaps(path.read_text()) == []


@pytest.mark.parametrize(
    "text",
    [
        "Lemma a : False. Proof. Admitted.",
        "Lemma a : 1 = 1. Proof. admit. Qed.",
        "Axiom a : False.",
        "  Local Parameter a : nat.",
        "#[local] Axiom a : False.",
        "Section S. End S.\nHypothesis a : False.",
        "Variable a : nat.\nSection S.\nEnd S.",
        "Lemma a : 1 = 1. Proof. native_compute. reflexivity. Qed.",
        "Unset Guard Checking.",
    ],
)
def test_a_gap_is_found(text: str) -> None:
    assert gaps(text)


def test_comments_and_sections_are_no_gaps() -> None:
    section = "Section S.\nVariable a : nat.\nHypothesis b : a = a.\nEnd S.\n"
    assert gaps("(* Axiom (* Admitted *) a *)\n" + section) == []
    assert gaps(section + "Hypothesis c : False.\n") == ["Hypothesis"]


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_file_fits_a_screen_and_says_what_it_is(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= 300
    assert [n for n, line in enumerate(lines, 1) if len(line) > 100] == []
    assert lines[0].startswith("(** * ")


def test_the_map_names_every_file_of_the_fast_checker() -> None:
    readme = (PROOFS / "README.md").read_text()
    assert [p.name for p in FILES if p.parent.name == "fast" and f"`{p.name}`" not in readme] == []
    folders = {p.parent.name for p in FILES} - {PROOFS.name}
    assert [folder for folder in sorted(folders) if f"`{folder}/" not in readme] == []


def test_every_file_is_built() -> None:
    listed = {line for line in (PROOFS / "_CoqProject").read_text().split() if line.endswith(".v")}
    apart = {
        "Assumptions.v",
        "checker/Extraction.v",
        "small/Theorem.v",
        "tight/Extraction.v",
        "tight/Theorem.v",
        "zero/Theorem.v",
    }  # targets
    assert listed | apart == set(NAMES)


def test_the_definitions_fit_on_a_desk_and_compile(tmp_path: Path) -> None:
    statement = PROOFS / "Statement.v"
    assert len(statement.read_text().splitlines()) <= 300
    assert not re.search(r"^From Lastbit", statement.read_text(), re.M)
    if shutil.which("coqc") is None:
        pytest.skip(
            "coqc is not installed (Debian: coq libcoq-flocq libcoq-interval libcoq-coquelicot)"
        )
    copy = tmp_path / "Statement.v"
    shutil.copy(statement, copy)
    subprocess.run(["coqc", "-Q", str(tmp_path), "Lastbit", str(copy)], check=True, timeout=300)
