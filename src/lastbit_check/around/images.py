"""A certificate for given images: what holds of each, in all allowed executions.

A file in JSON, as strict as the certificate for all images (certificate.py). It says which images,
by the SHA-256 of their numbers, and by ``question`` how they may move. What is claimed of an image
stands under its number (conclude.py says what it means); of the others nothing is claimed.

Map: images; a definition
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lastbit_check import certificate as all_images
from lastbit_check.around.at_image import AtImage, at_image
from lastbit_check.around.binary64 import F64
from lastbit_check.around.linear import Prepared, prepared
from lastbit_check.assumptions import assumptions
from lastbit_check.certificate import ANY, ASKED, Manifest, question_of
from lastbit_check.check import network_in
from lastbit_check.network import Shape
from lastbit_check.question import ANY_TWO, Question
from lastbit_check.verdict import Rejected, Unreadable, readable, reading, require

FORMAT = "lastbit-images-1"
CLAIM = {"label": int, "decided": int, "drift": float, "upper": float, "logits": float}
FORM = {
    "format": str, "model_sha256": str, "question": ASKED, "assumptions": [str], "bases": [str],
    "images": {"sha256": str, "shape": [int], "numbers": str}, "claim": {ANY: CLAIM},
    "digest": str,
}  # fmt: skip
FORMS = {all_images.FORMAT: all_images.FORM, FORMAT: FORM}
"""Of both kinds of certificate."""
Images = NDArray[Any]


def images_as_data(images: Images) -> dict[str, Any]:
    """Which images (N, C, H, W), uint8 or float32, as it stands in a manifest.

    The SHA-256 is of the type, the four sizes, and the numbers in little-endian order.
    """
    name = images.dtype.name
    found = sha256(f"{name} {images.shape}\n".encode())
    for image in images:
        found.update(image.astype(image.dtype.newbyteorder("<")).tobytes())
    return {"sha256": found.hexdigest(), "shape": (*images.shape,), "numbers": name}


def load_images(path: Path) -> Images:
    """Images in a file of NumPy (.npy), whose numbers are read when they are looked at."""
    with reading(f"{path} holds no images"):
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        except OSError as error:
            raise Unreadable(f"{path} cannot be read: {error.strerror or error}") from error


def of_network(images: Images, shape: Shape, question: Question) -> None:
    """Rule images.shape: they are what the network reads, and in the question's range."""
    name = "float32" if question.box else "uint8"
    right = images.dtype.name == name and len(images) > 0
    require(right, "images.shape", f"{len(images)} images of {images.dtype.name}, and not {name}")
    each = images.shape[1:]
    require(each == shape, "images.shape", f"each is {each}, and the network reads {shape}")
    if question.box:
        low, high = question.box
        inside = all(bool(np.all((x >= np.float32(low)) & (x <= np.float32(high)))) for x in images)
        require(inside, "images.shape", f"numbers that are not from {low!r} to {high!r}")


def drawn(count: int, sample: int | None, seed: int) -> list[int]:
    """Which of so many images to check: all, or a sample without repetition.

    Raises:
        Unreadable: a sample of none, or of more than there are.
    """
    if sample is None:
        return [*range(count)]
    readable(0 < sample <= count and seed >= 0, f"--sample {sample} of {count} images")
    return sorted(np.random.default_rng(seed).permutation(count)[:sample].tolist())


def numbers(image: Images) -> F64:
    """An image as the bound takes it (units,)."""
    return image.astype(np.float64).ravel()


def check_images(
    model: bytes,
    manifest: Manifest,
    images: Images,
    which: Iterable[int] | None = None,
    done: Callable[[int], None] = lambda _: None,
) -> dict[int, AtImage]:
    """Accept the claims about some images, all by default, or raise Rejected.

    Args:
        model: the ONNX file.
        manifest: the certificate, as `load` reads it.
        images: as the certificate speaks of.
        which: numbers of images; of those of which nothing is claimed nothing is checked.
        done: is told each number that has been checked.
    """
    require(sha256(model).hexdigest() == manifest["model_sha256"], "model.sha256", "another file")
    require(images_as_data(images) == manifest["images"], "images.sha256", "other images")
    question, claims = question_of(manifest), manifest["claim"]
    network = network_in(model, question)
    of_network(images, network.input.shape, question)
    question.fits(network.input.shape)
    named = assumptions(network, ANY_TWO, question)
    right = manifest["assumptions"] == named
    require(right, "certificate.assumptions", f"not the ones in force: {manifest['assumptions']}")
    numbered = {str(k) for k in range(len(images))}
    require(claims.keys() <= numbered, "claim.images", "of images that there are not")
    known = prepared(network)
    bases = known_bases(manifest["bases"], known)
    found = dict[int, AtImage]()
    for k in range(len(images)) if which is None else which:
        if str(k) in claims:
            found[k] = at_image(known, numbers(images[k]), question, bases)
            _follows(claims[str(k)], found[k], k)
        done(k)
    return found


def known_bases(names: Iterable[str], known: Prepared) -> frozenset[str]:
    """Rule hint.node: bases are nodes that the network computes from its input, before softmax."""
    other = sorted(name for name in names if name not in known.settings)
    require(not other, "hint.node", f"bases that are no nodes before softmax: {other}")
    return frozenset(names)


def _follows(said: Mapping[str, Any], derived: AtImage, k: int) -> None:
    """A claim is what is derived, or less."""
    right = said["label"] == derived.label and said["decided"] <= derived.decided
    right = right and all(said[part] >= getattr(derived, part) for part in ("drift", "upper"))
    right = right and said["logits"] >= derived.logits
    if not right:
        raise Rejected("claim.image", f"image {k}: {dict(said)} claimed, {derived} derived")
