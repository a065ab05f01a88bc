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

from lastbit_check.around.at_image import AtImage
from lastbit_check.around.images import FORMAT as IMAGES, FORMS, check_images, drawn, load_images
from lastbit_check.certificate import load, question_of, read_bytes
from lastbit_check.check import Derived, check
from lastbit_check.needs import Needs, bytes_of, shown
from lastbit_check.question import ANY_TWO, EXECUTIONS, SAME_PROGRAM, Question
from lastbit_check.verdict import Rejected, Unreadable

ABOUT = "Check a certificate against a model."
MOST_NAMED = 20
CODES = "Exit codes: 0 accepted, 1 rejected, 2 usage or unreadable, 130 interrupted, 141 no reader."


def main(arguments: list[str] | None = None) -> int:
    """Check one certificate and say so on standard output; return the exit code."""
    parser = argparse.ArgumentParser("lastbit-check", None, ABOUT, CODES, allow_abbrev=False)
    parser.add_argument("certificate", type=Path, help="a certificate.json")
    parser.add_argument("model", type=Path, nargs="?", help="default: model.onnx beside it")
    parser.add_argument("--images", type=Path, help="of a certificate for given images: default "
                        "images.npy beside it")  # fmt: skip
    parser.add_argument("--sample", type=int, metavar="N", help="check the claims about so many of "
                        "the images, drawn at random; about all if nothing is said")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of --sample; default 0")
    parser.add_argument("--json", action="store_true", help="print the verdict as one JSON object")
    parser.add_argument("--memory", type=bytes_of, help="no more than this, such as 8GiB")
    given = parser.parse_args(arguments)
    try:
        verdict, text = _verdict(given)
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


def _verdict(given: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """The verdict as fields, and for a reader."""

    def before(found: Needs) -> None:
        print(f"lastbit-check: {found}", file=sys.stderr)
        if given.memory is not None and not found.memory <= given.memory:
            raise Unreadable(f"that is more than the {shown(given.memory)} of --memory")

    start, certificate = time.monotonic(), given.certificate
    try:
        manifest = load(certificate, FORMS)
        model = read_bytes(given.model or certificate.with_name("model.onnx"))
        if manifest["format"] == IMAGES:
            images = load_images(given.images or certificate.with_name("images.npy"))
            which = drawn(len(images), given.sample, given.seed)
            return _of_images(manifest, check_images(model, manifest, images, which), start)
        derived = check(model, manifest, before=before)
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


def _of_images(
    manifest: dict[str, Any], found: dict[int, AtImage], start: float
) -> tuple[dict[str, Any], str]:
    """Of a certificate for given images: which claims were checked, and what they come to."""
    seconds, number, question = time.monotonic() - start, len(found), question_of(manifest)
    said = [manifest["claim"][str(k)] for k in found]
    worst = {name: max((one[name] for one in said), default=0.0) for name in ("drift", "upper")}
    decided = [sum(one["decided"] >= level for one in said) for level in (1, 2)]
    which = ", ".join(map(str, sorted(found)[:MOST_NAMED])) + ", ..." * (number > MOST_NAMED)
    count = manifest["images"]["shape"][0]
    text = f"""ACCEPTED for {number} of {count} images: no probability differs
  between two executions of an image by more than {worst["drift"]!r},
  between one of it and one of what it may move to by more than {worst["upper"]!r};
  no execution changes the answer for {decided[0]}, nor with such a move for {decided[1]}
  model       {manifest["model_sha256"]}
  images      {manifest["images"]["sha256"]}
  of them     {which}
  inputs      {_inputs(question)}
  change      {question.move.told}; checked in {seconds:.1f} s
  assumed     {", ".join(manifest["assumptions"])}"""
    fields = {name: manifest[name] for name in ("question", "assumptions", "images")}
    return {"accepted": True, **worst, "decided": decided, "checked": sorted(found),
            "model": manifest["model_sha256"], **fields, "seconds": seconds}, text  # fmt: skip


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
