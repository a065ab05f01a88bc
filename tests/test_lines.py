"""The checker is small: bench/lines.py counts it, and this holds it to what is promised."""

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINES = runpy.run_path(str(ROOT / "bench" / "lines.py"))
MOST = 1500

SAMPLE = '''"""A docstring
of two lines."""

# a comment
import math  # a comment beside code


def half(x: float) -> float:
    """One more."""
    text = """no docstring,

    of three lines"""
    return math.sqrt(
        x
    ) + len(text)
'''


def test_code_is_what_is_counted() -> None:
    # import, def, three lines of text (its blank one too), three lines of return
    assert LINES["lines_of_code"](SAMPLE) == 8
    assert LINES["lines_of_code"]("") == 0
    assert LINES["lines_of_code"]("x = 1\n\n\n# y\ny = 2\n") == 2


def test_a_line_more_is_counted_in_every_file_of_the_checker(tmp_path: Path) -> None:
    for path in LINES["CHECKER"].rglob("*.py"):
        code = path.read_text("utf-8")
        assert LINES["lines_of_code"](code + "\nz = 1\n") == LINES["lines_of_code"](code) + 1
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.py").write_text("x = 1\n")
    (tmp_path / "b.py").write_text("x = 1\ny = 2\n")
    assert LINES["count"](tmp_path) == {"b.py": 2, "inner/a.py": 1}


def test_the_checker_is_small() -> None:
    assert sum(LINES["count"]().values()) <= MOST


def test_the_documents_say_how_small_the_checker_is() -> None:
    found = LINES["count"]()
    assert found.keys() == {
        path.relative_to(LINES["CHECKER"]).as_posix() for path in LINES["CHECKER"].rglob("*.py")
    }
    lines = sum(found.values())
    assert lines > 1000
    for name in ("README.md", "CONTRIBUTING.md"):
        said = re.search(r"checker is ([\d,]+)\s+lines of code", (ROOT / name).read_text())
        assert said is not None, name
        assert said[1] == f"{lines:,}", name
