"""Running a pair of images again: what every runtime's answer does."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from lastbit.errors import ModelError, UsageError
from lastbit.graph import ImageArray, Model, Network, as_batch, flip_last_bit, read_onnx
from lastbit.runtimes import Runtime, other_programs, runtimes, thread_settings
from lastbit.witness.files import Witness
from lastbit.witness.pairs import changed_pixels, told_by_pixel, why_no_pair


@dataclass(frozen=True, eq=False)
class ReplayResult:
    """What the runtimes show.

    Attributes:
        witness: the pair that was run.
        probabilities: (first image, second image) for the witness's class, by runtime.
        changes: the distance of these two numbers, never rounded up, by runtime.
        apart: the runs that are farthest apart, one of each image, where the two may be made by
            different programs: of the first, of the second, and how far.
    """

    witness: Witness
    probabilities: Mapping[str, tuple[float, float]]
    changes: Mapping[str, float]
    apart: tuple[str, str, float]

    @property
    def lower(self) -> float:
        """The smallest change that any runtime shows: each is one program, run on both images."""
        return min(self.changes.values())

    @property
    def across(self) -> float:
        """The largest change where any two programs run one image each."""
        return self.apart[2]

    @property
    def confirmed(self) -> bool:
        """Whether every runtime here shows at least what the witness claims."""
        return all(change >= self.witness.lower for change in self.changes.values())


def replay(model: Model, witness: Witness, on: Sequence[Runtime] | None = None) -> ReplayResult:
    """Run the pair of `witness` on every runtime installed, or on those given.

    Raises:
        UsageError: the witness belongs to another model, or does not fit it.
        ModelError: the model cannot be read, or a runtime returns no number.
    """
    network = read_onnx(model)
    if network.sha256 != witness.model_sha256:
        raise UsageError(
            f"the witness is for the model {witness.model_sha256[:16]}...",
            where=f"{model} is {network.sha256[:16]}...",
            fix="give the model that the witness was found for",
        )
    if network.question != witness.question:
        raise UsageError(
            "the witness is about other inputs of the model, or other changes",
            where=str(model),
            fix="say with --pixels or --box, and --bit or the like, what they are, as it was found",
        )
    one, other = witness.pair
    reason = why_no_pair(one, other, witness.question)
    if reason:
        raise UsageError(f"the witness is no pair of images: {reason}", where=str(model))
    _check_class(network, witness.class_index)
    used = runtimes() if on is None else on
    before_after = {runtime.name: _before_after(runtime, model, witness) for runtime in used}
    changes = {name: distance(*pair) for name, pair in before_after.items()}
    others = {
        name: _before_after(one, model, witness)
        for name, one in _programs(on).items()
        if name not in before_after
    }
    return ReplayResult(witness, before_after, changes, farthest(before_after | others))


def _programs(on: Sequence[Runtime] | None) -> dict[str, Runtime]:
    """Those of which one may run the first image and another one the second."""
    used = [*runtimes(), *other_programs()] if on is None else on
    return {runtime.name: runtime for runtime in used}


def farthest(runs: Mapping[str, tuple[float, float]]) -> tuple[str, str, float]:
    """Which program on the first image and which on the second differ most, and by how much."""
    pairs = [(a, b, distance(runs[a][0], runs[b][1])) for a in runs for b in runs]
    return max(pairs, key=lambda pair: pair[2])


def measure(
    model: Model,
    image: ImageArray,
    pixel: tuple[int, int],
    class_index: int,
    on: Sequence[Runtime] | None = None,
) -> Witness:
    """The witness that an image, (H, W) or (1, H, W), and a pixel make for a class.

    Each runtime is run at several numbers of threads, which move its last bits, and the smallest
    change that it shows at any of them is taken.

    Raises:
        UsageError: image, pixel or class do not fit the model.
        ModelError: as in `replay`.
    """
    network = read_onnx(model)
    plane = as_batch(image, network.input_shape, network.question)[0]
    other = flip_last_bit(plane, *pixel)  # raises where there is no such pixel
    return measure_pair(model, plane, other, class_index, on)


def measure_pair(
    model: Model,
    image: ImageArray,
    other: ImageArray,
    class_index: int,
    on: Sequence[Runtime] | None = None,
) -> Witness:
    """The same of two images (H, W) or (C, H, W) that differ by a move of the model's question.

    Raises:
        UsageError: they do not, or images or class do not fit the model.
        ModelError: as in `replay`.
    """
    network = read_onnx(model)
    shape, question = network.input_shape, network.question
    one, two = (as_batch(each, shape, question)[0] for each in (image, other))
    reason = why_no_pair(one, two, question)
    if reason:
        raise UsageError(f"this is no pair of images: {reason}", where=str(model))
    told = told_by_pixel(question, shape)
    pixel = changed_pixels(one, two)[0]
    if shape[0] == 1:
        one, two = one[0], two[0]
    bare = Witness(network.sha256, one, pixel, class_index, 0.0, {}, question=question,
                   other=None if told else two)  # fmt: skip
    _check_class(network, class_index)
    changes: dict[str, float] = {}
    for runtime in runtimes() if on is None else on:
        pairs = [_before_after(each, model, bare) for each in thread_settings(runtime)]
        changes[runtime.name] = min(distance(*pair) for pair in pairs)
    runs = {name: _before_after(each, model, bare) for name, each in _programs(on).items()}
    return replace(bare, lower=min(changes.values()), runtimes=changes, apart=farthest(runs))


def distance(x: float, y: float) -> float:
    """|x - y|, rounded towards zero: a lower bound must not gain from its own rounding."""
    exact = abs(Fraction(x) - Fraction(y))
    nearest = float(exact)
    return math.nextafter(nearest, 0.0) if Fraction(nearest) > exact else nearest


def _before_after(runtime: Runtime, model: Model, witness: Witness) -> tuple[float, float]:
    """The probabilities of the witness's class on its two images, each run by itself.

    In one batch an image's last bits may depend on its place (PyTorch with one thread).
    """
    first, second = (
        runtime.probabilities(model, image[None])[0, witness.class_index] for image in witness.pair
    )
    if not (math.isfinite(first) and math.isfinite(second)):
        raise ModelError(f"{runtime.name} returns no number on the witness", where=str(model))
    return float(first), float(second)


def _check_class(network: Network, class_index: int) -> None:
    if not (0 <= class_index < network.classes):
        raise UsageError(f"class {class_index} is not one of the {network.classes} classes")
