"""Command line of the checker: exit 0 accepted, 1 rejected, 2 unreadable, 130 interrupted.

141 where nobody reads standard output any more.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from lastbit_check.certificate import load, question_of, read_bytes
from lastbit_check.check import Derived, check
from lastbit_check.needs import Needs, bytes_of, shown
from lastbit_check.question import ANY_TWO, EXECUTIONS, SAME_PROGRAM, Question
from lastbit_check.verdict import Rejected, Unreadable

ABOUT = "Check a certificate against a model."
CODES = "Exit codes: 0 accepted, 1 rejected, 2 usage or unreadable, 130 interrupted, 141 no reader."


def main(arguments: list[str] | None = None) -> int:
    """Check one certificate and say so on standard output; return the exit code."""
    parser = argparse.ArgumentParser("lastbit-check", None, ABOUT, CODES, allow_abbrev=False)
    parser.add_argument("certificate", type=Path, help="a certificate.json")
    parser.add_argument("model", type=Path, nargs="?", help="default: model.onnx beside it")
    parser.add_argument("--json", action="store_true", help="print the verdict as one JSON object")
    parser.add_argument("--memory", type=bytes_of, help="no more than this, such as 8GiB")
    given = parser.parse_args(arguments)
    try:
        verdict, text = _verdict(given.certificate, given.model, given.memory)
        print(json.dumps(verdict) if given.json else text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more
        return 141
    except (Unreadable, MemoryError, RecursionError) as error:
        print(f"lastbit-check: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("lastbit-check: interrupted", file=sys.stderr)
        return 130
    return 0 if verdict["accepted"] else 1


def _verdict(
    certificate: Path, model: Path | None, memory: float | None
) -> tuple[dict[str, Any], str]:
    """The verdict as fields, and for a reader."""

    def before(found: Needs) -> None:
        print(f"lastbit-check: {found}", file=sys.stderr)
        if memory is not None and not found.memory <= memory:
            raise Unreadable(f"that is more than the {shown(memory)} of --memory")

    start = time.monotonic()
    try:
        manifest = load(certificate)
        named = model or certificate.with_name("model.onnx")
        derived = check(read_bytes(named), manifest, before=before)
    except Rejected as error:
        fields = {"rule": error.rule, "node": error.node, "reason": error.message}
        return {"accepted": False, **fields}, f"REJECTED: {error}"
    seconds, named = time.monotonic() - start, manifest["assumptions"]
    upper = {name: manifest["claim"][name]["upper"] for name in EXECUTIONS}
    text = f"""ACCEPTED: no such change of an image moves a probability by more than
  {upper[SAME_PROGRAM]!r} if one program runs both images,
  {upper[ANY_TWO]!r} in any two executions
  model       {manifest["model_sha256"]}
  inputs      {_inputs(question_of(manifest))}
  change      {question_of(manifest).move.told}
  worst       {_worst(derived)}; checked in {seconds:.1f} s
  assumed     {", ".join(named[ANY_TWO])}
  of one program also {", ".join(sorted({*named[SAME_PROGRAM]} - {*named[ANY_TWO]}))}"""
    fields = {name: manifest[name] for name in ("question", "assumptions")}
    return {"accepted": True, "upper": upper, "model": manifest["model_sha256"], **fields,
            "seconds": seconds}, text  # fmt: skip


def _inputs(question: Question) -> str:
    if question.box:
        return f"float32, from {question.box.low!r} to {question.box.high!r}"
    steps = (f"{step.op} {', '.join(map(repr, step.constants))}" for step in question.pixels)
    return "; ".join(["bytes", *steps])


def _worst(derived: Derived) -> str:
    c, j, place = derived.claims[SAME_PROGRAM].worst
    return f"classes {c} and {j}, number {place} of the places or pixels that may change"


if __name__ == "__main__":
    sys.exit(main())
