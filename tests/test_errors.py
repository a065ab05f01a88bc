import pickle
import shlex
import sys
import tomllib
from pathlib import Path

import pytest

from lastbit import errors
from lastbit.errors import LastbitError, MissingExtraError, ModelError, UnsupportedOperatorError


def test_text_is_one_paragraph_of_what_where_fix():
    error = ModelError("the file is truncated", where="a.onnx", fix="export it again")
    assert str(error) == "the file is truncated; a.onnx; export it again"
    assert str(ModelError("the file is truncated")) == "the file is truncated"


def test_every_error_has_the_exit_code_of_bad_input():
    family = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, LastbitError)
    ]
    assert len(family) >= 8
    assert {kind.exit_code for kind in family} == {2}


def test_unsupported_operators_are_listed_all_at_once():
    error = UnsupportedOperatorError([("Loop", "n1"), ("Erf", "n7")], where="a.onnx")
    assert isinstance(error, ModelError)
    assert "Loop (node 'n1'), Erf (node 'n7')" in str(error)
    assert error.operators == (("Loop", "n1"), ("Erf", "n7"))


def test_unsupported_operators_are_grouped_with_what_to_do():
    exponentials = [("Exp", f"n{k}") for k in range(12)]
    reshapes = [(f"Reshape to [{k}, -1], which mixes images", f"r{k}") for k in range(5)]
    twice = [("MatMul of 2 tensors that are no constants", name) for name in "ab"]
    error = UnsupportedOperatorError([*exponentials, *reshapes, *twice])
    assert error.message == (
        "unsupported operators: Exp (12 times, first node 'n0'), "
        "Reshape (5 times, first node 'r0': to [0, -1], which mixes images; to [1, -1], which "
        "mixes images; to [2, -1], which mixes images; and 2 more reasons), "
        "MatMul of 2 tensors that are no constants (2 times, first node 'a')"
    )
    assert "an activation that is covered" in error.fix
    assert len(error.operators) == 19


def test_missing_extra_says_what_to_install(monkeypatch):
    """From where this lastbit came: a checkout, or an index."""
    error = MissingExtraError("training", "train")
    command = shlex.split(error.fix)
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    folder, extra = command[-1].removesuffix("]").split("[")
    assert extra == "train" and (Path(folder) / "pyproject.toml").exists()
    declared = tomllib.loads((Path(folder) / "pyproject.toml").read_text())
    assert extra in declared["project"]["optional-dependencies"]
    with monkeypatch.context() as patched:
        patched.setattr(
            "lastbit.errors.__file__", "/usr/lib/python3/site-packages/lastbit/errors.py"
        )
        assert MissingExtraError("training", "train").fix.endswith("install 'lastbit[train]'")


@pytest.mark.parametrize(
    "error",
    [
        ModelError("m", where="w", fix="f"),
        UnsupportedOperatorError([("Loop", "n1")], where="w"),
        MissingExtraError("training", "train"),
    ],
)
def test_errors_cross_process_boundaries(error):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)
