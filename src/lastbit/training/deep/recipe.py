"""What decides how a network of gain 1 is trained."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, ClassVar

from lastbit.errors import UsageError
from lastbit.models.efficientnet import B0, Widths


@dataclass(frozen=True)
class DeepRecipe:
    """A recipe; the weights are a function of it, the data, the machine and the versions.

    Attributes:
        name: of the model.
        seed: of the first weights, of the order of the images and of their distortions.
        stem, widths, head: output channels of the stem, of the seven stages and of the last
            convolution.
        reach, middle: how alive the SiLUs are: deviation and mean of what they read, in branches of
            residual blocks and in squeeze-and-excite.
        main_reach, main_middle: likewise of those that every signal passes: each of these takes
            from all of it what its mean slope is below the largest one.
        branch: share g of a residual block's branch in (1 - g) x + g f(x).
        expand_terms, project_rows: a row of an expansion reads that many channels; so many rows of
            a projection share what they read, six channels each.
        class_terms: channels that one class reads; each is read by one class alone.
        gate_base: what a gate's sigmoid reads in the middle.
        gate_deviation: that is held of the gates, root mean square over channels, where
        gate_growth: allows it: that is what gates may add to the gain of their block.
        temperature: the first factor on the logits, and with it R = temperature / 255.
        most_temperature: above this it is pressed down.
        epochs: passes over the training images.
        batch_size: images per step.
        learning_rate: the largest; rises linearly over `warmup_steps`, falls to 0 from
            `cooling_start`, a fraction of all steps.
        gradient_clip: largest Euclidean norm of a step's gradient.
        average_decay: of the exponential average of the weights, which is the result.
        recalibration_batches: batches without distortion, of which means are taken for the result.
        rotation, scaling, shear: largest distortion of an image (radians, fraction, fraction).
        shift: likewise, in pixels.
        ratio_weight: of log(temperature / attained) in the loss.
        ratio_start: the fraction of all steps from which it counts.
        ratio_every: steps from one evaluation of what is attained to the next.
        attained_images: images on which it is evaluated.
        uneven_weight: of channels whose deviation is below a tenth of their layer's.
        bias_weight: of the squares of biases of SiLU.
        spectrum_weight: of how far depthwise kernels are from passing all frequencies alike.
        faint_weight: of minus the log of the deviation that gates are made of.
        checkpoint_steps: steps from one checkpoint to the next.
    """

    name: str
    seed: int
    stem: int
    widths: tuple[int, ...]
    head: int
    reach: float
    middle: float
    main_reach: float
    main_middle: float
    branch: float
    expand_terms: int
    project_rows: int
    class_terms: int
    gate_base: float
    gate_deviation: float
    gate_growth: float
    temperature: float
    most_temperature: float
    epochs: int
    batch_size: int
    learning_rate: float
    warmup_steps: int
    cooling_start: float
    gradient_clip: float
    average_decay: float
    recalibration_batches: int
    rotation: float
    scaling: float
    shear: float
    shift: float
    ratio_weight: float
    ratio_start: float
    ratio_every: int
    attained_images: int
    uneven_weight: float
    bias_weight: float
    spectrum_weight: float
    faint_weight: float
    checkpoint_steps: int

    fold_batch_norm: ClassVar[bool] = True
    fold_pixels: ClassVar[bool] = False
    weight_bits: ClassVar[int] = 24

    def __post_init__(self) -> None:
        fits = len(self.widths) == len(B0.stages) and all(
            4 <= own <= full for own, full in zip(self.widths, B0.stages, strict=True)
        )
        if not (fits and 4 <= self.stem <= B0.stem and self.head <= B0.head):
            raise UsageError("the recipe's widths do not fit into EfficientNet-B0")
        if any(b < a for a, b in zip(self.widths, self.widths[1:], strict=False)):
            raise UsageError("a recipe's widths do not fall from stage to stage")
        if any(b > 5 * a for a, b in zip(self.widths, self.widths[1:], strict=False)):
            raise UsageError("a recipe's widths rise at most fivefold from stage to stage")
        if not (self.head >= self.widths[-1] and 10 * self.class_terms <= self.head):
            raise UsageError("a recipe needs head >= the last width and 10 class_terms <= head")
        for name in (
            "reach",
            "main_reach",
            "temperature",
            "most_temperature",
            "learning_rate",
            "gate_deviation",
        ):
            if not 0 < getattr(self, name) < float("inf"):
                raise UsageError(f"a recipe needs a {name} above 0")
        for name in ("expand_terms", "project_rows", "class_terms", "epochs", "batch_size",
                     "ratio_every", "attained_images", "checkpoint_steps"):  # fmt: skip
            if not getattr(self, name) >= 1:
                raise UsageError(f"a recipe needs 1 <= {name}")
        if not 0 < self.branch < 1:
            raise UsageError("a recipe needs 0 < branch < 1")

    @property
    def architecture(self) -> Widths:
        return Widths(self.stem, self.widths, self.head)

    def with_epochs(self, epochs: int) -> "DeepRecipe":
        """The recipe in another number of epochs, its phases in proportion."""
        return dataclasses.replace(self, epochs=epochs)

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, *, where: str = "") -> "DeepRecipe":
        """Read a recipe.

        Raises:
            UsageError: it is not JSON, or its fields are not those of a recipe.
        """
        try:
            fields: dict[str, Any] = json.loads(text)
            fields = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
            return cls(**fields)
        except (ValueError, TypeError, AttributeError) as error:
            raise UsageError(f"this is not a recipe: {error}", where=where) from error


DEEP = DeepRecipe(
    name="deep",
    seed=0,
    stem=16,
    widths=(8, 16, 32, 64, 64, 96, 160),
    head=640,
    reach=1.2,
    middle=1.5,
    main_reach=0.45,
    main_middle=1.75,
    branch=0.25,
    expand_terms=8,
    project_rows=1,
    class_terms=64,
    gate_base=2.0,
    gate_deviation=0.0025,
    gate_growth=0.02,
    temperature=60.0,
    most_temperature=250.0,
    epochs=12,
    batch_size=100,
    learning_rate=5e-3,
    warmup_steps=200,
    cooling_start=0.5,
    gradient_clip=1.0,
    average_decay=0.998,
    recalibration_batches=20,
    rotation=0.16,
    scaling=0.1,
    shear=0.16,
    shift=1.5,
    ratio_weight=0.05,
    ratio_start=0.05,
    ratio_every=4,
    attained_images=16,
    uneven_weight=0.01,
    bias_weight=0.001,
    spectrum_weight=0.001,
    faint_weight=0.01,
    checkpoint_steps=400,
)
