"""How every run of `lastbit` ends: what goes to which stream, and the exit code."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Group
from rich.table import Table

from lastbit import __version__, cli
from lastbit.commands.terminal import JsonOption, Result
from lastbit.errors import EXIT_REJECTED, EXIT_UNDECIDED, ModelError
from lastbit.models import shipped

LASTBIT = [sys.executable, "-m", "lastbit"]


@pytest.fixture
def command(monkeypatch):
    """A function that makes another function the command `lastbit trial`."""
    monkeypatch.setattr(cli.app, "registered_commands", list(cli.app.registered_commands))
    return cli.app.command("trial")


@pytest.mark.parametrize("code", [0, EXIT_REJECTED, EXIT_UNDECIDED])
def test_a_result_decides_the_exit_code(command, capsys, code):
    command(lambda: Result({"verdict": "x"}, "for people", as_json=False, exit_code=code))
    assert cli.main(["trial"]) == code
    assert capsys.readouterr() == ("for people\n", "")


def test_json_is_one_object_and_nothing_else(command, capsys):
    def trial(as_json: JsonOption = False) -> Result:
        return Result({"verdict": "proved", "σ": 1.5}, "for people", as_json)

    command(trial)
    assert cli.main(["trial", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"verdict": "proved", "σ": 1.5}
    assert err == ""


def test_json_never_holds_nan(command):
    command(lambda: Result({"upper": float("nan")}, "", as_json=True))
    with pytest.raises(ValueError, match="JSON compliant"):
        cli.main(["trial"])


def test_an_error_is_one_message_on_standard_error(command, capsys):
    def trial(as_json: JsonOption = False) -> Result:
        raise ModelError("the file is truncated", where="[a].onnx", fix="export it again")

    command(trial)
    assert cli.main(["trial"]) == 2
    message = "lastbit: the file is truncated; [a].onnx; export it again\n"
    assert capsys.readouterr() == ("", message)

    assert cli.main(["trial", "--json"]) == 2
    out, err = capsys.readouterr()
    assert err == message
    assert json.loads(out) == {
        "verdict": "error",
        "error": {
            "kind": "ModelError",
            "message": "the file is truncated",
            "where": "[a].onnx",
            "fix": "export it again",
        },
        "exit_code": 2,
    }


def test_an_operating_system_error_is_one_message(command, capsys):
    command(lambda: Path("/nowhere/at/all").read_bytes())
    assert cli.main(["trial"]) == 2
    assert capsys.readouterr().err == "lastbit: No such file or directory; /nowhere/at/all\n"


def test_a_bug_is_not_disguised(command):
    command(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["trial"])


def test_ctrl_c_is_one_line_and_130(command, capsys):
    def trial() -> Result:
        raise KeyboardInterrupt

    command(trial)
    assert cli.main(["trial"]) == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert err.strip() == "lastbit: interrupted"


def test_a_real_ctrl_c(tmp_path):
    program = (
        "import signal, sys, time\nfrom lastbit import cli\n"
        # whoever runs the tests in the background ignores the signal, and so would this
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "@cli.app.command()\ndef wait():\n    print('ready', flush=True)\n    time.sleep(60)\n"
        "sys.exit(cli.main(['wait']))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.strip() == "lastbit: interrupted"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bogus"], "No such command 'bogus'"),
        (["models", "--bogus"], "No such option"),
        (["models", "extra"], "unexpected extra argument"),
        (["prove", "tight", "--leaves", "-1"], "'--leaves'"),
        (["search", "--seconds", "x"], "'--seconds'"),
        (["search", "--seconds"], "'--seconds'"),
        (["audit", "--device", "gpu"], "'--device'"),
        (["train"], "'name'"),
        (["search", "--bogus"], "see `lastbit search --help`"),
    ],
)
def test_wrong_usage_is_exit_2(capsys, arguments, message):
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert len(err.splitlines()) == 1


def test_no_command_prints_help_and_is_exit_2(capsys):
    assert cli.main([]) == 2
    out, err = capsys.readouterr()
    assert "Usage" in out
    assert err == ""


def test_version_and_help(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"lastbit {__version__}\n"
    assert cli.main(["--help"]) == 0
    assert "3 not decided" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["models"], ["models", "--json"], ["--help"]])
def test_a_broken_pipe_is_silent(arguments):
    reading, writing = os.pipe()
    os.close(reading)
    run = subprocess.run(LASTBIT + arguments, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert run.returncode == 141
    assert run.stderr == b""


@pytest.mark.parametrize("as_json", [False, True])
def test_a_terminal_without_unicode_still_gets_its_answer(as_json):
    program = (
        "import sys\nfrom lastbit import cli\nfrom lastbit.commands.terminal import Result\n"
        f"cli.app.command('trial')(lambda: Result({{'U': '\u2264'}}, 'L \u2264 U', {as_json}))\n"
        "sys.exit(cli.main(['trial']))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (run.returncode, run.stderr) == (0, b"")
    assert run.stdout == (b'{"U": "\\u2264"}\n' if as_json else b"L ? U\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_standard_output_is_exit_2():
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(
            [*LASTBIT, "models", "--json"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert run.returncode == 2
    assert b"standard output cannot be written" in run.stderr


@pytest.mark.parametrize("width", [20, 60, 200, None])
def test_no_table_cuts_a_name_or_a_number(command, capsys, monkeypatch, width):
    """Whatever the terminal's width; where there is no terminal a row is a line."""
    numbers = [f"{10.0**-k!r}123456789" for k in range(8)]
    table = Table("name", "value", "more", box=None, title="some words " * 9)
    for number in numbers:
        table.add_row("a" * 64, number, f"words, {'and ' * 30}{number}")
    command(lambda: Result({}, Group("above", table), as_json=False))
    if width:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", str(width))
    assert cli.main(["trial"]) == 0
    out = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert "…" not in out and out.count("a" * 64) == len(numbers)
    for number in numbers:
        assert len(re.findall(rf"(?<!\S){re.escape(number)}(?!\S)", out)) == 2
    if width is None:
        assert len(out.splitlines()) == len(numbers) + 3
        assert not any(line.endswith(" ") for line in out.splitlines())


def test_starting_up_needs_no_pytorch_and_no_onnx():
    program = "import sys, lastbit.cli; print(*{'torch', 'onnx', 'onnxruntime'} & set(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == ""


@pytest.fixture
def shelf(monkeypatch, tmp_path):
    """A folder of shipped models that tests fill."""
    monkeypatch.setattr(shipped, "shipped_folder", lambda: tmp_path)
    return tmp_path


def claims(one_program: float, any_two: float) -> str:
    """Those of a certificate."""
    upper = {"same-program": one_program, "any-two": any_two}
    return json.dumps({"claim": {name: {"upper": u.hex()} for name, u in upper.items()}})


def test_models_lists_what_the_files_state(shelf, capsys):
    for name in ("tight", "bare"):
        (shelf / name).mkdir()
        (shelf / name / "model.onnx").write_bytes(b"abc")
    (shelf / "tight" / "metrics.json").write_text('{"accuracy": {"test": 0.991, "nll": 0.04}}')
    (shelf / "tight" / "accuracy.json").write_text('{"accuracy": {"certified": 0.99}}')
    (shelf / "tight" / "witness.json").write_text(
        json.dumps({"lower": (0.0625).hex(), "apart": {"lower": (0.125).hex()}})
    )
    (shelf / "tight" / "certificate.json").write_text(claims(0.25, 0.375))
    assert cli.main(["models", "--json"]) == 0
    tight, bare = json.loads(capsys.readouterr().out)["models"]
    assert tight["name"] == "tight"
    assert tight["sha256"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert tight["accuracy"] == {"test": 0.991, "certified": 0.99, "nll": 0.04}
    assert (tight["lower"], tight["upper"], tight["ratio"]) == (0.0625, 0.25, 4.0)
    assert tight["any-two"] == {"lower": 0.125, "upper": 0.375, "ratio": 3.0}
    none = {"lower": None, "upper": None, "ratio": None}
    assert {name: bare[name] for name in none} == bare["any-two"] == none

    assert cli.main(["models"]) == 0
    assert "99.10%" in capsys.readouterr().out


def test_models_shows_no_number_for_an_infinite_likelihood(shelf, capsys):
    (shelf / "sure").mkdir()
    (shelf / "sure" / "model.onnx").write_bytes(b"abc")
    (shelf / "sure" / "metrics.json").write_text('{"accuracy": {"test": 0.99, "nll": null}}')
    assert cli.main(["models", "--json"]) == 0
    (sure,) = json.loads(capsys.readouterr().out)["models"]
    assert sure["accuracy"] == {"test": 0.99, "certified": None, "nll": None}


@pytest.mark.parametrize(
    ("lower", "upper", "ratio"), [(0.0, 0.0, 1.0), (1.0, 1.0, 1.0), (0.0, 0.5, None)]
)
def test_the_ratio_of_an_exact_answer_is_1(shelf, capsys, lower, upper, ratio):
    (shelf / "m").mkdir()
    (shelf / "m" / "model.onnx").write_bytes(b"abc")
    (shelf / "m" / "witness.json").write_text(
        json.dumps({"lower": lower.hex(), "apart": {"lower": lower.hex()}})
    )
    (shelf / "m" / "certificate.json").write_text(claims(upper, upper))
    assert cli.main(["models", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["models"]
    for one in (found, found["any-two"]):
        assert (one["lower"], one["upper"], one["ratio"]) == (lower, upper, ratio)


@pytest.mark.parametrize("text", ['{"accuracy": 3}', "{", '{"accuracy": {"test": "nan"}}', "[]"])
def test_models_refuses_a_figure_that_is_not_a_number(shelf, capsys, text):
    (shelf / "m").mkdir()
    (shelf / "m" / "model.onnx").write_bytes(b"abc")
    (shelf / "m" / "metrics.json").write_text(text)
    assert cli.main(["models"]) == 2
    assert "no finite number at accuracy.test" in capsys.readouterr().err


def test_data_says_what_served(monkeypatch, capsys, tmp_path, mnist_test):
    assert cli.main(["data", "--json"]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert [row["file"].split("-")[0] for row in files] == ["train", "train", "t10k", "t10k"]
    assert all(row["source"] and Path(row["path"]).is_file() for row in files)

    monkeypatch.setenv("LASTBIT_DATA", str(tmp_path / "nowhere"))
    assert cli.main(["data"]) == 2
    assert "LASTBIT_DATA is not a folder" in capsys.readouterr().err


def test_a_shell_can_complete_commands():
    environment = {
        **os.environ,
        "_LASTBIT_COMPLETE": "complete_bash",
        "COMP_WORDS": "lastbit exp",
        "COMP_CWORD": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "lastbit"], env=environment, capture_output=True, text=True
    )
    assert done.stdout.split() == ["explain", "export-vnnlib"]
