"""Questions about images that one has, from Python: `sweep`, and `prove` with ``images``.

Both are names of `lastbit` itself. What they return shows itself in a notebook (extra `report`).

>>> import lastbit, numpy
>>> from lastbit.graph import OnnxBuilder
>>> b = OnnxBuilder()
>>> grey = b.mean(b.div(b.input_bytes((1, 4, 4)), 255.0))
>>> _ = b.softmax(b.dense(grey, [[1.0], [-1.0]]))
>>> model = b.save(folder / "grey.onnx")
>>> images = numpy.arange(48, dtype=numpy.uint8).reshape(3, 4, 4)
>>> found = lastbit.sweep(model, images, runtime="reference")
>>> found
Sweep('swept', 3 images: 0.000122488, in image 0)
>>> found.largest[0].change == found.maximum
True
>>> at = lastbit.prove(model, images=images)
>>> at
ImagesVerdict('proved', 3 images, 3 decided, 3 with what they move to: Q <= 0.0001297)
>>> all(one.lower <= one.upper for one in at.brackets)
True
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lastbit.around import Bracket, prove_images
from lastbit.data import ImageSet, image_set, open_images
from lastbit.data.stored import StoredImages, spooled
from lastbit.errors import ModelError, UsageError
from lastbit.graph import read_onnx
from lastbit.models.given import Given, files_of
from lastbit.models.shipped import ModelFiles, is_shipped
from lastbit.progress import Progress, silent
from lastbit.report import available, render_rows, shortened
from lastbit.report.given import DECIDED
from lastbit.report.pictures import picture
from lastbit.sweep import Goals, Local, no_limits, sweep as swept
from lastbit.sweep.everywhere import limits_everywhere
from lastbit_check.around.images import drawn
from lastbit_check.question import ANY_TWO, Question
from lastbit_check.verdict import Rejected, Unreadable

Images = str | Path | NDArray[Any]
"""`test`, `train` or `all` (of MNIST), a file, a folder; or an array (N, H, W) or (N, C, H, W)."""
SHOWN = 10
"""Images in a notebook."""


@dataclass(frozen=True)
class Change:
    """What the last bit of one place of one image changes.

    ``place`` is (channel, row, column), ``class_index`` the class that changes most; ``before`` and
    ``after`` are its probabilities, ``change`` their distance. ``name`` is the image's, or empty.
    """

    image: int
    name: str
    place: tuple[int, int, int]
    class_index: int
    before: float
    after: float
    change: float


@dataclass(frozen=True, repr=False, eq=False)
class Sweep:
    """What `sweep` found; exact, of one program. ``verdict`` is swept or refuted.

    Attributes:
        sha256: of the model.
        runtime: what executed it.
        count: how many images.
        largest: the ten largest changes, the largest first.
        by_place: the largest at each place, in the order of (C, H, W), if it was asked for.
        upper: the certified U, by executions; empty without a certificate.
        executions: how many images were run, of ``brute_force`` without any bound.
        content: the bytes of the sweep.json that `lastbit sweep` would write.
        pictures: data URIs of the images of ``largest``.
    """

    verdict: str
    sha256: str
    runtime: str
    count: int
    largest: tuple[Change, ...]
    by_place: tuple[Change | None, ...] | None
    upper: Mapping[str, float]
    executions: int
    brute_force: int
    content: bytes
    pictures: tuple[str, ...]

    @property
    def maximum(self) -> float:
        """The largest change; 0 where nothing can move."""
        return self.largest[0].change if self.largest else 0.0

    def __repr__(self) -> str:
        where = f", in image {self.largest[0].image}" if self.largest else ""
        return f"Sweep({self.verdict!r}, {self.count} images: {self.maximum:.6g}{where})"

    def _repr_html_(self) -> str | None:
        """What notebooks show; None, for the text, without the extra ``report``."""
        if not available():
            return None
        heads = ("image", "picture", "channel, row, column", "class", "before", "after", "change")
        rows = [
            (str(one.image), shown, ", ".join(map(str, one.place)), str(one.class_index),
             one.before, one.after, one.change)
            for one, shown in zip(self.largest, self.pictures, strict=True)
        ]  # fmt: skip
        said = [f"the largest change over {self.count} images, {self.runtime}: {self.maximum!r}"]
        said += [f"U = {shortened(u, 'up')} over all images, {name}" for name, u in
                 self.upper.items()]  # fmt: skip
        said.append(f"{self.executions} executions of {self.brute_force}")
        return render_rows(self.sha256, self.verdict, said, heads, rows)


@dataclass(frozen=True, repr=False, eq=False)
class ImagesVerdict:
    """What `prove` found at given images. ``verdict`` is proved, refuted or not decided.

    Attributes:
        sha256: of the model.
        question: what inputs are, and how images may move.
        numbers: of the images in the data.
        brackets: of each of them, L <= Q <= U for any two executions.
        assumptions: by executions.
        certificate: where it was written.
        checked: of which images the checker has derived the claims again, by their place in the
            certificate.
        pictures: data URIs of the images.
    """

    verdict: str
    sha256: str
    question: Question
    numbers: tuple[int, ...]
    brackets: tuple[Bracket, ...]
    assumptions: Mapping[str, tuple[str, ...]]
    certificate: Path
    checked: tuple[int, ...]
    pictures: tuple[str, ...]

    @property
    def lower(self) -> float:
        """The largest change that was seen."""
        return max((one.lower or 0.0 for one in self.brackets), default=0.0)

    @property
    def upper(self) -> float:
        """The largest U; 1 where at one image nothing is claimed."""
        return min(1.0, max(one.upper for one in self.brackets))

    def agreed(self, level: int) -> int:
        """At how many images all executions agree on the label: 1; 2 what it moves to included."""
        return sum(one.decided >= level for one in self.brackets)

    def __repr__(self) -> str:
        said = f"{len(self.brackets)} images, {self.agreed(1)} decided, {self.agreed(2)}"
        bound = f"Q <= {shortened(self.upper, 'up')}"
        return f"ImagesVerdict({self.verdict!r}, {said} with what they move to: {bound})"

    def _repr_html_(self) -> str | None:
        """What notebooks show; None, for the text, without the extra ``report``."""
        if not available():
            return None
        worst = sorted(range(len(self.brackets)), key=lambda k: -self.brackets[k].upper)[:SHOWN]
        rows = [
            (str(self.numbers[k]), self.pictures[k], str(one.label), one.lower, one.upper,
             one.drift, DECIDED[one.decided])
            for k, one in ((k, self.brackets[k]) for k in worst)
        ]  # fmt: skip
        said = [
            f"at {self.agreed(1)} of {len(self.brackets)} images all executions give one label, at "
            f"{self.agreed(2)} those on what the image may move to, too",
            f"{len(worst)} with the largest U",
        ]
        heads = ("image", "picture", "label", "L", "U", "drift", "decided")
        return render_rows(self.sha256, self.verdict, said, heads, rows)


def sweep(
    model: Given,
    data: Images = "test",
    question: Question | None = None,
    *,
    first: int | None = None,
    runtime: str = "onnxruntime",
    by_place: bool = False,
    brute_force: bool = False,
    processes: int = 1,
    out: Path | None = None,
    progress: Progress = silent,
) -> Sweep:
    """Find the largest change of a probability that the last bit of one place makes, over images.

    Exact, as one program executes the model (docs/sweep.md).

    Args:
        model: the name of a shipped model, or a path.
        data: the images.
        question: what the model's inputs are; by default bytes, or float32 numbers from 0 to 1.
        first: only so many images, from the first on.
        runtime: onnxruntime, torch, jax or reference.
        by_place: find the largest at every place, too.
        brute_force: run every neighbour, whatever is known of it.
        processes: with more than one, a script needs `if __name__ == "__main__"`.
        out: the folder of the journal, from which the same call goes on; a temporary one by
            default, of which nothing is kept.
        progress: told of every stage.

    Raises:
        DataError: the images are no images of this model, or have changed.
        ModelError: the model cannot be read or run.
        UsageError: something else is asked about than the last bit of one place.
    """
    files = files_of(model, question)
    network = read_onnx(files.asked)
    given = image_set(
        _stored(data, progress), network.input_shape, network.question, first=first,
        progress=progress,
    )  # fmt: skip
    with _folder(out) as folder:
        found = swept(
            files, given, folder, engine=Local(processes), runtime=runtime,
            goals=Goals(False, by_place), limits=no_limits if brute_force else limits_everywhere,
            progress=progress,
        )  # fmt: skip
        said = found.answer()
        largest = tuple(_change(one) for one in said["largest"])
        places = said["by_place"]
        return Sweep(
            found.verdict, said["model"]["sha256"], str(said["runtime"]), len(given), largest,
            None if places is None else tuple(one and _change(one) for one in places),
            dict(found.upper), found.executions, found.brute_force, found.content(),
            _pictures(given, [one.image for one in largest]),
        )  # fmt: skip


def prove_at(
    model: Given,
    images: Images,
    question: Question | None = None,
    *,
    sample: int | None = None,
    seed: int = 0,
    processes: int = 1,
    out: Path | None = None,
    progress: Progress = silent,
) -> ImagesVerdict:
    """Bracket at each image what two executions make of it and of what it may move to.

    Args:
        model: the name of a shipped model, or a path.
        images: which.
        question: how they may move; by default in the last bit of one place.
        sample: so many of them, drawn; all by default.
        seed: of the sample.
        processes: with more than one, a script needs `if __name__ == "__main__"`.
        out: the folder of certificate.json and images.npy; by default ``images`` beside the model,
            and for a shipped one ``certificates/NAME/images`` in the current folder.
        progress: told of images that are done.

    Raises:
        DataError: the images are no images of this model.
        ModelError: the model cannot be read, or is not covered.
        UsageError: there are fewer images than are to be drawn.
    """
    files = files_of(model, question)
    network = read_onnx(files.asked)
    given = image_set(
        _stored(images, progress), network.input_shape, network.question, progress=progress
    )
    try:
        chosen = drawn(len(given), sample, seed)
    except Unreadable as error:
        fix = f"a number from 1 to {len(given)}, and a seed that is not negative"
        raise UsageError(str(error), fix=fix) from error
    try:
        proof = prove_images(
            files.asked, network.question, given.take(chosen), out or _default(files),
            processes=processes, progress=progress,
        )  # fmt: skip
    except (Rejected, Unreadable) as error:
        raise ModelError(str(error), where=str(files.model)) from error
    return ImagesVerdict(
        proof.verdict, proof.sha256, proof.question, (*chosen,), proof.brackets,
        {ANY_TWO: proof.assumptions}, proof.certificate, proof.checked, _pictures(given, chosen),
    )  # fmt: skip


def _default(files: ModelFiles) -> Path:
    folder = Path("certificates") / files.name if is_shipped(files) else files.folder
    return folder / "images"


def _stored(data: Images, progress: Progress) -> StoredImages:
    if isinstance(data, np.ndarray):
        return spooled([data], "an array")
    return open_images(str(data), progress)


@contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    if out is not None:
        yield out
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _change(said: Mapping[str, Any]) -> Change:
    channel, row, column = said["place"]
    return Change(
        said["image"], said.get("name", ""), (channel, row, column), said["class"], said["before"],
        said["after"], said["change"],
    )  # fmt: skip


def _pictures(given: ImageSet, numbers: Sequence[int]) -> tuple[str, ...]:
    return tuple(picture(given.take([k])[0], given.question.box) for k in numbers)
