"""`lastbit prove MODEL --images DATA`: a bracket at each of the images that one has."""

from __future__ import annotations

import os
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from lastbit.asked import described
from lastbit.commands.terminal import Result, watched
from lastbit.errors import EXIT_OK, EXIT_REJECTED, EXIT_UNDECIDED, ModelError, UsageError
from lastbit.models.shipped import ModelFiles
from lastbit_check.around.images import drawn
from lastbit_check.verdict import Rejected, Unreadable

if TYPE_CHECKING:
    from lastbit.around import Bracket, ImagesProof

CODES = {"proved": EXIT_OK, "refuted": EXIT_REJECTED, "not decided": EXIT_UNDECIDED}
FOLDER = "images"
WORST = 10
"""Images in the table."""


def prove_given(
    files: ModelFiles, data: str, sample: int | None, seed: int, out: Path | None, as_json: bool
) -> Result:
    """Bound and run every image, write the certificate, and let the checker read a part of it.

    Raises:
        DataError, UsageError, ModelError: the images or the model are not to be used.
    """
    from lastbit.around import prove_images
    from lastbit.data import image_set, load_mnist, open_images
    from lastbit.graph import read_onnx

    start = time.monotonic()
    with watched() as progress:
        network = read_onnx(files.asked)
        given = image_set(
            open_images(data, progress), network.input_shape, network.question, progress=progress
        )
        chosen = range(len(given)) if sample is None else _drawn(len(given), sample, seed)
        images = given.take(chosen)
        try:
            proof = prove_images(
                files.asked, network.question, images, out or files.folder / FOLDER,
                processes=os.cpu_count() or 1, progress=progress,
            )  # fmt: skip
        except (Rejected, Unreadable) as error:
            raise ModelError(str(error), where=str(files.model)) from error
        labels = load_mnist(data, progress=progress).labels if data in ("test", "train") else None
    right = None
    if labels is not None:
        right = [k for k, number in enumerate(chosen) if labels[number] == proof.answers[k]]
    payload = _payload(files, data, [*chosen], proof, right)
    payload["seconds"] = time.monotonic() - start
    return Result(payload, _view(payload), as_json, CODES[proof.verdict])


def _drawn(count: int, sample: int, seed: int) -> list[int]:
    try:
        return drawn(count, sample, seed)
    except Unreadable as error:
        fix = f"a number from 1 to {count}, and a seed that is not negative"
        raise UsageError(str(error), fix=fix) from error


def _payload(
    files: ModelFiles, data: str, chosen: list[int], proof: ImagesProof, right: list[int] | None
) -> dict[str, Any]:
    return {
        "verdict": proof.verdict,
        "model": {"name": files.name, "sha256": proof.sha256},
        "inputs": described(proof.question),
        "change": proof.question.move.told,
        "data": data,
        "images": [_image(number, one) for number, one in zip(chosen, proof.brackets, strict=True)],
        "accuracy": None if right is None else {
            "right": len(right),
            "of": len(chosen),
            "no_execution_changes": proof.agreed(right, 1),
            "nor_any_move": proof.agreed(right, 2),
        },
        "median": _median(proof),
        "largest": {
            "drift": max(one.drift for one in proof.brackets),
            "upper": max(one.upper for one in proof.brackets),
            "lower": max(one.lower or 0.0 for one in proof.brackets),
        },
        "assumptions": [*proof.assumptions],
        "certificate": str(proof.certificate),
        "check": {"images": len(proof.checked), "accepted": True},
        "seconds_an_image": proof.each,
    }  # fmt: skip


def _image(number: int, one: Bracket) -> dict[str, Any]:
    refused = one.refused
    return {
        "number": number, "label": one.label, "decided": one.decided,
        "lower": one.lower, "upper": one.upper, "drift": {"seen": one.seen, "bound": one.drift},
        "logits": one.logits if one.upper < 1 else None, "place": one.place,
        "refused": None if refused is None else {"rule": refused.rule, "node": refused.node},
    }  # fmt: skip


def _median(proof: ImagesProof) -> dict[str, float | None]:
    """Of all images, each figure by itself."""
    lower = [one.lower for one in proof.brackets if one.lower is not None]
    return {
        "lower": median(lower) if lower else None,
        "upper": median(one.upper for one in proof.brackets),
        "drift": median(one.drift for one in proof.brackets),
        "logits": median(min(one.logits, 2.0**127) for one in proof.brackets),
    }


def _view(data: dict[str, Any]) -> RenderableType:
    table = Table(box=None, show_header=False)
    count, parts = len(data["images"]), data["largest"]
    silent = sum(one["upper"] >= 1 for one in data["images"])
    head = {"verdict": data["verdict"]}
    if silent:
        head["verdict"] += f"; at {silent} of {count} images U = 1, which says nothing"
    head["model"] = "{name}  {sha256}".format(**data["model"])
    head["images"] = f"{count} of {data['data']}: {data['inputs']}; {data['change']}"
    if data["accuracy"]:
        right = data["accuracy"]["right"]
        share = [f"{data['accuracy'][k]} ({data['accuracy'][k] / max(1, right):.2%})"
                 for k in ("no_execution_changes", "nor_any_move")]  # fmt: skip
        head["right"] = f"{right} of {count}; no allowed execution changes {share[0]} of these"
        head["  neighbours"] = f"nor does one on a neighbour change {share[1]}"
    head["any two"] = f"U = {parts['upper']:.6g}, L = {parts['lower']:.6g}, over all images"
    middle = data["median"]
    lower = "not run" if middle["lower"] is None else f"{middle['lower']:.3g}"
    head["median"] = f"U = {middle['upper']:.3g}, L = {lower}, drift {middle['drift']:.3g}"
    head["one image"] = f"no two executions differ by more than {parts['drift']:.6g}"
    head["assumes"] = ", ".join(data["assumptions"])
    head["checked"] = f"{data['check']['images']} of the images by lastbit-check's rules again"
    head["certificate"] = data["certificate"]
    head["time"] = (
        f"{data['seconds']:.0f} s, {data['seconds_an_image']:.1f} s of a process an image"
    )
    for key, value in head.items():
        table.add_row(key, escape(value))
    return Group(table, "", _worst(data["images"]))


def _worst(images: list[dict[str, Any]]) -> Table:
    table = Table("image", "label", "L", "U", "drift seen", "drift bound", "decided", box=None,
                  title="The largest U")  # fmt: skip
    said = ("no", "on the image", "and its neighbours")
    for one in sorted(images, key=lambda one: -one["upper"])[:WORST]:
        lower = "" if one["lower"] is None else f"{one['lower']:.3g}"
        drift = one["drift"]
        figures = (f"{x:.3g}" for x in (one["upper"], drift["seen"], drift["bound"]))
        table.add_row(str(one["number"]), str(one["label"]), lower, *figures, said[one["decided"]])
    return table
