"""Whatever is changed in a certificate or its model, the checker says no, and never stumbles."""

from __future__ import annotations

import json
import math
import shutil
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from lastbit_check.__main__ import main
from lastbit_check.certificate import hints_of, load, question_of
from lastbit_check.check import proved
from lastbit_check.question import EXECUTIONS
from soundness.small import Fields, certified, changed, fields_of, leaves, put, verdict

pytestmark = pytest.mark.slow

Capture = pytest.CaptureFixture[str]
FILES = ("certificate.json", "model.onnx")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certified(tmp_path_factory.mktemp("original"))


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy to be spoilt."""
    return Path(shutil.copytree(original, tmp_path / "copy"))


STARTS = "claim.", "norm.", "finite.", "model.", "precision", "together."


def test_the_original_is_accepted(original: Path, capsys: Capture) -> None:
    assert verdict(original, capsys) == (0, "")
    assert fields_of(original)["bases"]


def test_sealing_an_unchanged_certificate_keeps_it_valid(folder: Path, capsys: Capture) -> None:
    put(folder, fields_of(folder), seal=True)
    assert verdict(folder, capsys) == (0, "")


def other(value: Any) -> Any:
    """A value of the same type, as near as can be."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    try:
        return math.nextafter(float.fromhex(value), math.inf).hex()
    except ValueError:
        return value + "x"


def few(fields: Fields) -> list[tuple[tuple[Any, ...], Any]]:
    """All leaves, but of a list of integers the first one only."""
    found = leaves(fields)
    return [(path, n) for path, n in found if type(n) is not int or path[-1] in (0, "exponent")]


def test_any_leaf_of_the_manifest(folder: Path, capsys: Capture) -> None:
    fields = fields_of(folder)
    everything = few(fields)
    assert len(everything) > 60
    for path, value in everything:
        put(folder, changed(fields, path, other(value)), seal=False)
        code, rule = verdict(folder, capsys)
        assert (code, rule) == (1, "certificate.digest") or (path == ("format",) and code == 2), (
            path
        )


def test_any_field_left_out_or_of_another_type(folder: Path, capsys: Capture) -> None:
    fields = fields_of(folder)
    for path, _ in few(fields):
        if path[0] in ("model_sha256", "digest"):  # what a seal puts right
            continue
        for value in (None, 1.5, [], {}, "nan", "-0x1p+0", "0x1.0p+0", 10**400, True):
            put(folder, changed(fields, path, value), seal=True)
            code, _rule = verdict(folder, capsys)
            assert code in (1, 2), (path, value)
    for name in fields:
        less = {k: v for k, v in fields.items() if k != name}
        (folder / "certificate.json").write_text(json.dumps(less))
        assert verdict(folder, capsys)[0] in (1, 2)


def test_the_numbers_of_the_claim_are_rejected_by_name(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = fields_of(folder)
    manifest = load(folder / "certificate.json")
    model = (folder / "model.onnx").read_bytes()
    derived = proved(model, question_of(manifest), hints_of(manifest))
    monkeypatch.setattr("lastbit_check.check.proved", lambda *_: derived)  # once is enough
    listed = [*leaves({"claim": fields["claim"]})]
    assert {path[1:3] for path, _ in listed} == {
        (executions, part) for executions in EXECUTIONS for part in ("upper", "logits")
    }
    for path, value in listed:
        number = float.fromhex(value)
        for near in (math.nextafter(number, math.inf), math.nextafter(number, 0.0), number * 2 + 1):
            if near == number:
                continue
            put(folder, changed(fields, path, near.hex()), seal=True)
            assert verdict(folder, capsys) == (1, f"claim.{path[1]}")


def test_any_integer_of_a_hint_under_a_new_seal(folder: Path, capsys: Capture) -> None:
    """Other slopes and scales prove another bound, unless they belong to what is never worst."""
    fields = fields_of(folder)
    rng, accepted = np.random.default_rng(2), 0
    places = [(path, n) for path, n in leaves(fields) if path[0] in ("slopes", "together")]
    places = [(path, n) for path, n in places if isinstance(n, int)]
    for k in rng.integers(len(places), size=40).tolist():
        path, n = places[k]
        put(folder, changed(fields, path, n ^ (1 << int(rng.integers(12, 18)))), seal=True)
        accepted += verdict(folder, capsys)[0] == 0
    assert accepted < 20


def test_integers_of_any_length(folder: Path, capsys: Capture) -> None:
    fields = fields_of(folder)
    for path, n in few(fields):
        if type(n) is int:
            for wrong in (2**63, -(2**63), 10**400):
                put(folder, changed(fields, path, wrong), seal=True)
                assert verdict(folder, capsys)[0] in (1, 2), path


def test_any_byte_of_the_model(folder: Path, capsys: Capture) -> None:
    path = folder / "model.onnx"
    data = path.read_bytes()
    for at in range(0, len(data), 7):
        spoilt = bytearray(data)
        spoilt[at] ^= 0x10
        path.write_bytes(spoilt)
        assert verdict(folder, capsys) == (1, "model.sha256")


def test_any_byte_of_the_weights_under_a_new_seal(folder: Path, capsys: Capture) -> None:
    """The new model is named in the certificate: the bound that it claims is another one."""
    proto, fields = onnx.load(folder / "model.onnx"), fields_of(folder)
    rng = np.random.default_rng(3)
    for k in range(len(proto.graph.initializer)):
        spoilt = onnx.ModelProto.FromString(proto.SerializeToString())
        tensor = spoilt.graph.initializer[k]
        raw = bytearray(tensor.raw_data)
        raw[4 * int(rng.integers(len(raw) // 4)) + 3] ^= 0x40
        tensor.raw_data = bytes(raw)
        (folder / "model.onnx").write_bytes(spoilt.SerializeToString())
        put(folder, fields, seal=True)
        code, rule = verdict(folder, capsys)
        assert code == 1, tensor.name
        assert rule.startswith(STARTS), rule


def test_a_model_spoilt_anywhere_under_a_new_seal(folder: Path, capsys: Capture) -> None:
    """It may be another model with the same normal form; it is never a stumbling block."""
    path, fields = folder / "model.onnx", fields_of(folder)
    data = path.read_bytes()
    rng = np.random.default_rng(4)
    for _ in range(150):
        spoilt = bytearray(data)
        for _ in range(int(rng.integers(1, 4))):
            spoilt[int(rng.integers(len(data)))] = int(rng.integers(256))
        path.write_bytes(spoilt)
        put(folder, fields, seal=True)
        verdict(folder, capsys)


@pytest.mark.parametrize("seal", [False, True])
def test_any_node_dropped_or_two_swapped(folder: Path, capsys: Capture, seal: bool) -> None:
    proto, fields = onnx.load(folder / "model.onnx"), fields_of(folder)
    count = len(proto.graph.node)
    dropped = [[k for k in range(count) if k != left_out] for left_out in range(count)]
    swapped: list[list[int]] = []
    for i, j in combinations(range(count), 2):
        order = list(range(count))
        order[i], order[j] = j, i
        swapped.append(order)
    for order in dropped + swapped[:: 1 if seal else 5]:
        spoilt = onnx.ModelProto.FromString(proto.SerializeToString())
        del spoilt.graph.node[:]
        spoilt.graph.node.extend(proto.graph.node[k] for k in order)
        (folder / "model.onnx").write_bytes(spoilt.SerializeToString())
        put(folder, fields, seal=seal)
        code, rule = verdict(folder, capsys)
        if not seal:
            assert (code, rule) == (1, "model.sha256")
        elif code == 0:  # the same network, written down in another order that is just as good
            onnx.checker.check_model(spoilt)
            assert len(order) == count


@pytest.mark.parametrize("name", FILES)
def test_truncated_files(folder: Path, capsys: Capture, name: str) -> None:
    path, fields = folder / name, fields_of(folder)
    data = path.read_bytes()
    for size in sorted({0, 1, 4, 8, 9, *np.linspace(10, len(data) - 2, 25).astype(int).tolist()}):
        for seal in (False, True):
            put(folder, fields, seal=False)
            path.write_bytes(data[:size])
            if seal and name != "certificate.json":
                put(folder, fields_of(folder), seal=True)
            assert verdict(folder, capsys)[0] in (1, 2), (name, size)


@pytest.mark.parametrize("name", FILES)
def test_missing_files_and_folders_in_their_place(folder: Path, name: str, capsys: Capture) -> None:
    (folder / name).unlink()
    assert verdict(folder, capsys)[0] == 2
    (folder / name).mkdir()
    assert verdict(folder, capsys)[0] == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "nul",
        '{"format": "lastbit-certificate-6"}',
        "[" * 100_000,
        "\x00",
        "\ufeff{}",
        "{} {}",
        "{} // nothing",
        "{'format': 1}",
        '{"format": 01}',
        '{"a": ' + "9" * 5000 + "}",
        '{"witness": ' * 5000 + "1" + "}" * 5000,
        '"\\ud800"',
        '{"format": "lastbit-certificate-6", "format": "lastbit-certificate-6"}',
    ],
)
def test_what_is_no_manifest(folder: Path, capsys: Capture, text: str) -> None:
    (folder / "certificate.json").write_text(text)
    assert verdict(folder, capsys)[0] in (1, 2)


@pytest.mark.parametrize("arguments", [[], ["a", "b", "c"], ["--unknown"], ["--help"]])
def test_usage(arguments: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == (0 if arguments == ["--help"] else 2)
    assert "usage" in "".join(capsys.readouterr())


def test_names_that_cannot_be_printed(folder: Path, capsys: Capture) -> None:
    """Half of a surrogate pair and a terminal's escape: neither goes to the terminal as it is."""
    fields = fields_of(folder)
    for name in ("\ud800", "\x1b[2J"):
        put(folder, {**fields, "slopes": {name: 1}}, seal=True)
        assert main([str(folder / "certificate.json")]) == 1
        printed = capsys.readouterr().out
        assert printed.isprintable() or printed.strip().isprintable()
        put(folder, {**fields, "slopes": {name: [1]}}, seal=True)
        assert main([str(folder / "certificate.json")]) == 1
        assert capsys.readouterr().out.strip().isprintable()
