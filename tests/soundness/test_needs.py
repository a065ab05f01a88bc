"""What a derivation is said to need, and the limit on it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lastbit import cli
from lastbit.errors import UsageError
from lastbit.graph import OnnxBuilder
from lastbit.hints import hints_for
from lastbit.hints.fitting import BESIDE, fitted
from lastbit_check.certificate import Hints
from lastbit_check.check import network_in
from lastbit_check.needs import bytes_of, needs, shown
from lastbit_check.question import LAST_BIT
from soundness.known import with_base

MEASURE = """
import sys
from lastbit_check.check import network_in, proved
from lastbit_check.certificate import Hints
from lastbit_check.question import LAST_BIT
proved(open(sys.argv[1], "rb").read(), LAST_BIT, Hints({}))
status = open("/proc/self/status").read()  # what getrusage says holds the parent's as well
print(int(status.split("VmHWM:")[1].split()[0]) * 1024)
"""
FACTOR = 2.5


def network(size: int, channels: int, layers: int) -> OnnxBuilder:
    random, b = np.random.default_rng(0), OnnxBuilder()
    x = b.conv(b.input_bytes((3, size, size)), random.normal(size=(channels, 3, 3, 3)) / 2**10)
    x = b.silu(x)
    for _ in range(layers):
        x = b.silu(b.conv(x, random.normal(size=(channels, channels, 1, 1)) / channels))
    b.softmax(b.dense(b.mean(x), random.normal(size=(10, channels))))
    return b


@pytest.mark.slow
@pytest.mark.parametrize(("size", "channels", "layers"), [(8, 16, 1), (56, 8, 1), (8, 700, 4)])
def test_the_estimate_is_near_what_a_derivation_takes(
    tmp_path: Path, size: int, channels: int, layers: int
) -> None:
    """Of little, of many units, of many weights: within a factor of 2.5."""
    path = network(size, channels, layers).save(tmp_path / "model.onnx")
    command = [sys.executable, "-c", MEASURE, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    form = network_in(path.read_bytes())
    said = needs(form, LAST_BIT, Hints({})).memory
    assert said / FACTOR < int(done.stdout) < said * FACTOR, (said / 2**20, done.stdout)


@pytest.mark.parametrize(
    ("text", "size"),
    [("8GiB", 2**33), ("500 MB", 5e8), ("1.5g", 1.5e9), ("7", 7), ("3B", 3), ("2TiB", 2**41)],
)
def test_amounts_as_people_write_them(text: str, size: float) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1GiB", "8 GiB of it", "nan", "1e9", "8PiB"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write it like 8GiB"):
        bytes_of(text)


def test_what_does_not_fit_is_left_out_and_said(tmp_path: Path) -> None:
    """First roundings that are taken together, then the bases, then the limit does not do."""
    _, network, _ = with_base(tmp_path, 0)
    hints, said = hints_for(network), list[str]()
    assert hints.bases
    assert fitted(network, 2.0**40, said.append) == (hints, True)
    assert len(said) == 1
    alone = 2 * needs(network.normal, network.question, hints).memory + BESIDE
    assert fitted(network, alone, said.append) == (hints, False)
    assert said[-1].endswith("roundings are not taken together: the bound is larger for it")
    least, together = fitted(network, alone - 1, said.append)
    assert (least.bases, together) == (frozenset(), False)
    assert "no node keeps how it depends" in said[-1]
    assert least.boxes >= hints.boxes
    with pytest.raises(UsageError, match=r"allow .* with --memory"):
        fitted(network, 2.0**20, said.append)


def test_more_of_everything_needs_more(tmp_path: Path) -> None:
    model, _, hints = with_base(tmp_path, 0)
    form = network_in(model)
    some = needs(form, LAST_BIT, hints)
    none = needs(form, LAST_BIT, replace(hints, bases=frozenset()))
    assert none.memory < some.memory
    assert none.seconds < some.seconds
    assert shown(some.memory) in str(some)


@pytest.mark.parametrize("command", ["prove", "check"])
def test_a_limit_that_does_not_do_is_one_error(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    network(4, 2, 1).save(tmp_path / "model.onnx")
    assert cli.main(["prove", str(tmp_path)]) in (0, 3)
    assert "GiB" in (said := capsys.readouterr().err) or "MiB" in said
    target = tmp_path / ("certificate.json" if command == "check" else "model.onnx")
    assert cli.main([command, str(target), "--memory", "1MiB"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "1 MiB may be used; allow" in printed.err
    assert cli.main([command, str(target), "--memory", "lots"]) == 2
    assert "no amount of memory: 'lots'" in capsys.readouterr().err


def test_the_checker_keeps_a_limit(tmp_path: Path) -> None:
    network(4, 2, 1).save(tmp_path / "model.onnx")
    assert cli.main(["prove", str(tmp_path)]) in (0, 3)
    run: Callable[..., subprocess.CompletedProcess[str]] = subprocess.run
    command = [sys.executable, "-m", "lastbit_check", str(tmp_path / "certificate.json")]
    for limit, code in (("1MiB", 2), ("4GiB", 0), ("lots", 2)):
        done = run([*command, "--memory", limit], capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
