"""Small models with certificates, witnesses and verdicts, of which pages are made."""

import json
from pathlib import Path

import numpy as np

from lastbit import api
from lastbit.commands.images import prove_given
from lastbit.commands.prove import payload
from lastbit.graph import OnnxBuilder
from lastbit.models.shipped import resolve_model
from lastbit.report import Page, page_of
from lastbit.witness import measure, write_witness

SIDE = 6
HOSTILE = "</script><script>document.title='taken'</script><img src=//nowhere.invalid/a.png>"
"""The name of a node, as a file may have it."""


def network(name: str = "curve") -> OnnxBuilder:
    """A convolution, a SiLU of that name, a shortcut around another convolution, three classes."""
    random = np.random.default_rng(5)
    b = OnnxBuilder()
    x = b.div(b.input_bytes((1, SIDE, SIDE)), 255.0)
    weights = random.normal(size=(2, 1, 3, 3)).astype(np.float32)
    x = b.silu(b.conv(x, weights, np.ones(2, np.float32), padding=1), name)
    weights = random.normal(size=(2, 2, 1, 1)).astype(np.float32)
    x = b.add(b.conv(x, weights, np.ones(2, np.float32)), x)
    b.softmax(b.dense(b.mean(x), random.normal(size=(3, 2)).astype(np.float32)))
    return b


def proved(folder: Path, builder: OnnxBuilder | None = None) -> Path:
    """A folder with model, witness, certificate and verdict.json."""
    folder.mkdir(parents=True)
    model = (builder or network()).save(folder / "model.onnx")
    image = np.arange(SIDE * SIDE, dtype=np.uint8).reshape(SIDE, SIDE)
    write_witness(folder / "witness.json", measure(model, image, (3, 4), 1))
    files = resolve_model(folder)
    text = json.dumps(payload(files, api.prove(files)), allow_nan=False)
    (folder / "verdict.json").write_text(text)
    return folder


def proved_images(folder: Path, count: int = 4) -> Path:
    """A folder with model, images, their certificate, and verdict.json."""
    folder.mkdir(parents=True)
    network().save(folder / "model.onnx")
    shape = (count, SIDE, SIDE)
    images = np.random.default_rng(7).integers(0, 256, shape, dtype=np.uint8)
    np.save(folder / "own.npy", images)
    files = resolve_model(folder)
    said = prove_given(files, str(folder / "own.npy"), None, 0, folder, as_json=True).payload
    (folder / "verdict.json").write_text(json.dumps({**said, "certificate": "certificate.json"}))
    return folder


def whole(file: Path, *, run: bool = True) -> Page:
    """The page about all images."""
    page = page_of(file, run=run)
    assert isinstance(page, Page)
    return page
