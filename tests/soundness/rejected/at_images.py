"""Certificates for given images: other images, other claims."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from lastbit.around import prove_images
from lastbit.graph import OnnxBuilder
from lastbit_check.around.columns import ellipsoid
from lastbit_check.around.images import FORMS, check_images, load_images
from lastbit_check.around.linear import prepared
from lastbit_check.around.near import Near
from lastbit_check.around.walk import walk
from lastbit_check.certificate import load, parse
from lastbit_check.check import network_in
from lastbit_check.question import LAST_BIT
from soundness.rejected.cases import case
from soundness.small import Fields, changed, digest, model


@cache
def shown() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 1, 6, 6), dtype=np.uint8)


def written(folder: Path) -> tuple[bytes, Fields]:
    path = folder / "model.onnx"
    path.write_bytes(model())
    prove_images(path, LAST_BIT, shown(), folder)
    return path.read_bytes(), load(folder / "certificate.json", FORMS)


def tampered(rule: str, name: str, *path: Any, value: Any) -> None:
    def run(folder: Path) -> None:
        content, _ = written(folder)
        fields = changed(json.loads((folder / "certificate.json").read_text()), path, value)
        fields["digest"] = digest(fields)
        manifest = parse(fields, FORMS[fields["format"]])
        check_images(content, manifest, load_images(folder / "images.npy"))

    run.__name__ = name
    case(rule)(run)


tampered("claim.image", "a_smaller_bound", "claim", "0", "upper", value=(2.0**-40).hex())
tampered("claim.image", "a_smaller_drift", "claim", "1", "drift", value=(2.0**-40).hex())
tampered("claim.image", "smaller_logits", "claim", "1", "logits", value=(2.0**-60).hex())
tampered("claim.image", "another_label", "claim", "0", "label", value=7)
tampered("claim.image", "more_than_is_decided", "claim", "0", "decided", value=3)
tampered("claim.images", "an_image_that_is_not_there", "claim", value={
    "2": {"label": 0, "decided": 0, "drift": (1.0).hex(), "upper": (1.0).hex(),
          "logits": (1.0).hex()}})  # fmt: skip
tampered("images.sha256", "other_images", "images", "sha256", value="0" * 64)
tampered("images.sha256", "another_number_of_them", "images", "shape", value=[3, 1, 6, 6])
tampered("model.sha256", "the_model_of_another_certificate", "model_sha256", value="0" * 64)
tampered("hint.node", "a_base_at_an_image_that_is_nowhere", "bases", value=["nowhere"])
tampered("hint.node", "softmax_as_a_base_at_an_image", "bases", value=["probabilities"])
tampered("certificate.assumptions", "none_at_an_image", "assumptions", value=[])


@case("images.shape")
def images_of_another_size(folder: Path) -> None:
    path = folder / "model.onnx"
    path.write_bytes(model())
    prove_images(path, LAST_BIT, np.zeros((1, 1, 5, 6), np.uint8), folder)


@case("images.shape")
def images_of_another_type(folder: Path) -> None:
    path = folder / "model.onnx"
    path.write_bytes(model())
    prove_images(path, LAST_BIT, np.zeros((1, 1, 6, 6), np.float32), folder)


@case("around.radius")
def deviations_that_feed_themselves(folder: Path) -> None:
    """A product of a value with itself, again and again, of numbers that are far too large."""
    b = OnnxBuilder()
    x = b.mean(b.input_bytes((1, 2, 2)))
    for _ in range(6):
        x = b.gate(x, x)
    b.softmax(b.dense(x, [[1e-30], [-1e-30]]))
    known = prepared(network_in(b.to_bytes()))
    none = np.zeros(4)
    walk(known, Near(np.full(4, 255.0), np.zeros((4, 0)), {}, none, none + 1.0), frozenset())


@case("around.ellipsoid")
def columns_that_are_no_numbers(folder: Path) -> None:
    ellipsoid(np.full((2, 2), 1e300))


@case("around.kind")
def a_quotient_of_two_tensors(folder: Path) -> None:
    b = OnnxBuilder()
    m = b.mean(b.input_bytes((2, 2, 2)))
    x = b.operator("Div", [m, b.sigmoid(m)], "quotient")
    b.softmax(b.dense(x, [[1.0, 0.0], [0.0, 1.0]]))
    known, none = prepared(network_in(b.to_bytes())), np.zeros(8)
    walk(known, Near(none, np.zeros((8, 0)), {}, none, none), frozenset())
