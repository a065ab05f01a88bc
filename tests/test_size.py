"""The checker is small: bench/size.py counts it, and this holds it to what is promised."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SIZE = runpy.run_path(str(ROOT / "bench" / "size.py"))
KERNEL, EACH = 2170, {"operators": 170, "refine": 150, "around": 120, "norms": 120}

SAMPLE = '''"""A docstring
of two lines."""

# a comment
import math; import re


def half(x: float) -> float:
    """One more."""
    if x: return 0
    return math.sqrt(
        x
    )
'''


def test_statements_are_what_is_counted_however_they_are_laid_out() -> None:
    # two imports, def, if, two returns
    assert SIZE["statements"](SAMPLE) == 6
    assert SIZE["statements"](SAMPLE.replace("; ", "\n")) == 6
    assert SIZE["statements"]("") == 0


def test_a_statement_more_is_counted_in_every_file_of_the_checker(tmp_path: Path) -> None:
    for path in SIZE["CHECKER"].rglob("*.py"):
        code = path.read_text("utf-8")
        assert SIZE["statements"](code + "\nz = 1\n") == SIZE["statements"](code) + 1
    (tmp_path / "operators").mkdir()
    (tmp_path / "operators" / "a.py").write_text("x = 1\n")
    (tmp_path / "b.py").write_text("x = 1\ny = 2\n")
    found = SIZE["count"](tmp_path)
    assert found == {"b.py": 2, "operators/a.py": 1}
    assert SIZE["kernel"](found) == 2


def test_the_kernel_is_small() -> None:
    assert SIZE["kernel"](SIZE["count"]()) <= KERNEL


@pytest.mark.parametrize("part", EACH)
def test_each_operator_and_each_refinement_is_small(part: str) -> None:
    sizes = {k: n for k, n in SIZE["count"]().items() if k.startswith(f"{part}/")}
    assert len(sizes) > 2
    assert max(sizes.values()) <= EACH[part]


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_the_documents_say_how_small_the_checker_is(name: str) -> None:
    found = SIZE["count"]()
    text = " ".join((ROOT / name).read_text("utf-8").split())
    said = re.search(r"kernel of the checker is ([\d,]+) statements of ([\d,]+)", text)
    assert said is not None
    assert said.groups() == (f"{SIZE['kernel'](found):,}", f"{sum(found.values()):,}")
