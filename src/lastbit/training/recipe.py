"""Everything that decides how a network is trained, as one frozen record saved beside it."""

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any, Literal

from lastbit.errors import UsageError
from lastbit.models.efficientnet import BLOCKS, HEAD_CHANNELS, STAGES

RECIPE_FILE = "recipe.json"


@dataclass(frozen=True)
class Recipe:
    """A recipe; the weights are a function of it, the data, the machine and the versions.

    Attributes:
        name: of the model.
        seed: of the first weights, of the order of the images and of their distortions.
        trunk: "silu" for an ordinary EfficientNet-B0. "linear" for one whose SiLU is fully at work
            in the stem and the first depthwise layer, and elsewhere stays so near 0 that it is
            almost linear (`activation_range`); those inside squeeze-and-excite are ordinary ones.
        widths: live output channels of the seven stages; all other channels of B0 are exactly 0.
        head: live channels of the last convolution.
        expansion: live channels inside a block, as a multiple of its live inputs (first stage: 1).
        squeezed: at most that many live channels inside squeeze-and-excite.
        residual_gain: first scale of the batch norm that ends a residual branch.
        gate_scale: factor on what the gates' sigmoid reads; a power of two.
        activation_range: the dial between linear and nonlinear: about the largest absolute value
            that an almost linear SiLU reads, over all images.
        fold_batch_norm: write the model without BatchNormalization nodes.
        epochs: passes over the training images.
        batch_norm_epochs: after that many, the statistics of batch norm are measured once more and
            then kept, and the average of the weights begins.
        batch_size: images per step.
        learning_rate: the largest; cosine to 0 over all steps.
        warmup_steps: steps in which it rises from 0.
        weight_decay: of AdamW.
        gradient_clip: largest Euclidean norm of a step's gradient.
        average_decay: of the exponential average of the weights, which is the result.
        recalibration_batches: batches from which statistics are measured.
        rotation, scaling, shear: largest distortion of an image (radians, fraction, fraction).
        shift: likewise, in pixels.
        bound_weight: of log(bound / attained) in the loss; 0 turns the bound off.
        bound_start, bound_ramp: fractions of all steps: no weight before the one, then a linear
            rise that takes the other.
        bound_every: steps from one evaluation of the bound to the next.
        bound_columns: columns sampled for the estimate of the rounding bound.
        attained_images: images of a batch on which the attained change is measured.
        first_layer_weight: weight of the first layer's term, as a fraction of `bound_weight`.
        first_layer_target: the first layer's bound counts only above this.
        row_terms: nonzero weights that a row may keep in the trunk's expansions, depthwise layers
            and projections, in the last convolution and in the classifier.
        pruning_start, pruning_end: fractions of all steps between which rows lose their other
            terms; an end of 0 leaves all rows as they are.
        weight_bits: significant bits of a layer's weights, counted from the largest one, once
            batch norm is folded; 24 leaves them as they are.
        logit_scale: factor on the logits when training is over (the inverse of a temperature):
            no decision changes, every change of a probability shrinks, and so does confidence.
        absorb: the first two layers are those of `lastbit.models.absorb`, which are not trained.
        live_blocks: with a linear trunk, in how many blocks SiLU is fully at work.
        copies: patterns (as of file names) of the layers' names in EfficientNet-B0 that copy their
            inputs and are not trained: they do not round. Their strides must be 1.
        live_terms: the first three of `row_terms` for the `live_blocks`, where they are others.
        terms_of: (pattern, terms) for layers by their names in EfficientNet-B0, instead of those;
            the first pattern that fits counts.
        unshifted: patterns of layers' names that have no bias: one term less in their sums.
        fold_pixels: the division of the bytes by 255 is in the stem's weights, which read bytes.
    """

    name: str
    seed: int
    trunk: Literal["linear", "silu"]
    widths: tuple[int, ...]
    head: int
    expansion: float
    squeezed: int
    residual_gain: float
    gate_scale: float
    activation_range: float
    fold_batch_norm: bool
    epochs: int
    batch_norm_epochs: int
    batch_size: int
    learning_rate: float
    warmup_steps: int
    weight_decay: float
    gradient_clip: float
    average_decay: float
    recalibration_batches: int
    rotation: float
    scaling: float
    shear: float
    shift: float
    bound_weight: float
    bound_start: float
    bound_ramp: float
    bound_every: int
    bound_columns: int
    attained_images: int
    first_layer_weight: float
    first_layer_target: float
    row_terms: tuple[int, int, int, int, int]
    pruning_start: float
    pruning_end: float
    weight_bits: int
    logit_scale: float
    absorb: bool = False
    live_blocks: int = 1
    copies: tuple[str, ...] = ()
    live_terms: tuple[int, ...] = ()
    terms_of: tuple[tuple[str, int], ...] = ()
    unshifted: tuple[str, ...] = ()
    fold_pixels: bool = False

    def __post_init__(self) -> None:
        full = tuple(stage.channels for stage in STAGES)
        fits = len(self.widths) == len(full) and all(
            1 <= live <= channels for live, channels in zip(self.widths, full, strict=True)
        )
        if not (fits and 1 <= self.head <= HEAD_CHANNELS and 1 <= self.expansion <= 6):
            raise UsageError("the recipe's live channels do not fit into EfficientNet-B0")
        if not 1 <= self.batch_norm_epochs <= self.epochs:
            raise UsageError("a recipe needs 1 <= batch_norm_epochs <= epochs")
        if self.batch_size < 1:
            raise UsageError("a recipe needs 1 <= batch_size")
        if self.trunk not in ("linear", "silu"):
            raise UsageError("a recipe's trunk is 'linear' or 'silu'")
        if self.trunk == "linear" and not 0 < self.activation_range < math.inf:
            raise UsageError("a linear trunk needs an activation_range above 0")
        if len(self.row_terms) != 5 or min(self.row_terms) < 1:
            raise UsageError("a recipe's row_terms are five numbers of at least 1")
        if self.live_terms and (len(self.live_terms) != 3 or min(self.live_terms) < 1):
            raise UsageError("a recipe's live_terms are three numbers of at least 1, or none")
        if any(terms < 1 for _, terms in self.terms_of):
            raise UsageError("a recipe's terms_of are names with numbers of at least 1")
        if self.pruning_end and not 0 <= self.pruning_start < self.pruning_end <= 1:
            raise UsageError("a recipe needs 0 <= pruning_start < pruning_end <= 1")
        if not 2 <= self.weight_bits <= 24:
            raise UsageError("a recipe needs 2 <= weight_bits <= 24")
        if not 1 <= self.live_blocks < len(BLOCKS):
            raise UsageError(f"a recipe needs 1 <= live_blocks < {len(BLOCKS)}")
        if self.bound_weight and (self.trunk == "silu" or self.absorb or self.live_blocks > 1):
            raise UsageError("only a linear trunk can be trained on its bound, from layer 3")
        if self.trunk == "linear" and BLOCKS[self.live_blocks - 1].residual:
            raise UsageError("a linear trunk begins behind a block without a shortcut")
        if self.absorb and not self.fold_batch_norm:
            raise UsageError("layers that absorb the last bit need fold_batch_norm")

    def with_epochs(self, epochs: int) -> "Recipe":
        """The recipe in another number of epochs, its phases in proportion."""
        share = self.batch_norm_epochs / self.epochs
        return dataclasses.replace(
            self, epochs=epochs, batch_norm_epochs=max(1, min(epochs, round(share * epochs)))
        )

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, *, where: str = "") -> "Recipe":
        """Read a recipe.

        Raises:
            UsageError: it is not JSON, or its fields are not those of a recipe.
        """
        try:
            fields: dict[str, Any] = json.loads(text)
            return cls(**{name: _frozen(value) for name, value in fields.items()})
        except (ValueError, TypeError, AttributeError) as error:
            raise UsageError(f"this is not a recipe: {error}", where=where) from error


def _frozen(value: Any) -> Any:
    """Lists as tuples, those inside of lists, too."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


TIGHT = Recipe(
    name="tight",
    seed=0,
    trunk="linear",
    widths=(16, 24, 40, 80, 80, 96, 96),
    head=96,
    expansion=4.0,
    squeezed=8,
    residual_gain=0.2,
    gate_scale=2.0**-40,
    activation_range=2.0**-28,
    fold_batch_norm=True,
    epochs=42,
    batch_norm_epochs=7,
    batch_size=250,
    learning_rate=4e-3,
    warmup_steps=300,
    weight_decay=1e-3,
    gradient_clip=1.0,
    average_decay=0.998,
    recalibration_batches=20,
    rotation=0.16,
    scaling=0.1,
    shear=0.16,
    shift=1.5,
    bound_weight=0.08,
    bound_start=0.1,
    bound_ramp=0.5,
    bound_every=3,
    bound_columns=48,
    attained_images=8,
    first_layer_weight=1.0,
    first_layer_target=0.45,
    row_terms=(2, 9, 12, 12, 24),
    pruning_start=0.05,
    pruning_end=0.6,
    weight_bits=20,
    logit_scale=2.0,
    copies=("blocks.[1-6].*.conv_pw", "blocks.4.0.*", "blocks.6.0.*", "conv_head"),
)

PLAIN = dataclasses.replace(
    TIGHT,
    name="plain",
    trunk="silu",
    widths=tuple(stage.channels for stage in STAGES),
    head=HEAD_CHANNELS,
    expansion=6.0,
    squeezed=80,
    residual_gain=1.0,
    gate_scale=1.0,
    activation_range=0.0,
    fold_batch_norm=False,
    epochs=7,
    batch_norm_epochs=7,
    learning_rate=2e-3,
    weight_decay=0.05,
    gradient_clip=5.0,
    rotation=0.2,
    scaling=0.12,
    shear=0.25,
    shift=2.2,
    bound_weight=0.0,
    bound_every=2,
    first_layer_target=0.3,
    row_terms=(2, 9, 12, 12, 16),
    pruning_end=0.0,
    weight_bits=24,
    logit_scale=1.0,
    copies=(),
)

# The network of `tight`, so sure of itself that one pair of images has probabilities 0 and 1.
ONE = dataclasses.replace(TIGHT, name="one", logit_scale=2.0**12)

# No last bit gets past its first layer; after that SiLU is at work in four blocks, as many as a
# bound on the drift bears. Layers that copy before a SiLU, and short rows, keep it small.
ZERO = dataclasses.replace(
    TIGHT,
    name="zero",
    widths=(16, 24, 40, 80, 112, 96, 96),
    expansion=3.0,
    squeezed=16,
    epochs=16,
    batch_norm_epochs=6,
    gradient_clip=2.0,
    bound_weight=0.0,
    row_terms=(16, 25, 48, 96, 96),
    logit_scale=1.0,
    absorb=True,
    live_blocks=4,
    copies=("blocks.1.1.conv_pw", "blocks.2.0.conv_pw"),
    live_terms=(4, 9, 16),
)
