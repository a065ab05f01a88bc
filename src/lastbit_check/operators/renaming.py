"""What computes nothing: the same numbers, in the same order, in other sizes or by another name.

Map: normal-form
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lastbit_check.files.operators import (
    AXIS,
    BYTES_TOO,
    FLAG,
    INTEGER,
    LISTED,
    MOST,
    F,
    Form,
    axes,
    finite,
    text,
    whole,
)
from lastbit_check.onnxfile import BATCH, Operator, Tensor
from lastbit_check.operators.constants import (
    axes_of,
    reshaped,
    resized,
    same_constant,
    sizes_of,
    turned,
)
from lastbit_check.operators.reading import Reader, Rule
from lastbit_check.operators.seen import Seen
from lastbit_check.verdict import require


def widened(_: Reader, o: Operator, x: Seen) -> Seen:
    """From bytes, or float32, to float32."""
    require(o.attributes.get("to") == 1, "model.operator", "to anything but float32")
    return x


def same(_: Reader, __: Operator, x: Seen) -> Seen:
    """The tensor that is read. In inference Dropout is that."""
    return x


def flatten(_: Reader, o: Operator, x: Seen) -> Seen:
    """All of an image in one axis."""
    axis = o.attribute("axis", 1)
    require(axis % x.rank == 1, "model.operator", f"at axis {axis}, which mixes images")
    return x.sized((x.count,))


def reshape(reader: Reader, o: Operator, x: Seen) -> Seen:
    """In other sizes: 0 is the one before, unless it is allowed; -1 what is left over."""
    batch, *sizes = sizes_in(reader, o.inputs[1]) or [1]
    found = [x.sizes[i] if n == 0 and i < len(x.sizes) else n for i, n in enumerate(sizes)]
    if -1 in found:
        others = -math.prod(found)
        found[found.index(-1)] = x.count // others if others > 0 else 0
    right = batch in (0, BATCH, reader.batch) or (batch == -1 and -1 not in sizes)
    require(right, "model.operator", f"to {[batch, *sizes]}, which mixes images")
    return x.sized((*found,))


def squeeze(reader: Reader, o: Operator, x: Seen) -> Seen:
    """Without some axes of one number."""
    given = _axes(reader, o, x.rank)
    require(given, "model.operator", "of all axes of one number: of one image, that of the images")
    return x.sized(tuple(n for i, n in enumerate(x.sizes, 1) if i not in given))


def unsqueeze(reader: Reader, o: Operator, x: Seen) -> Seen:
    """With more axes, of one number."""
    rank = x.rank + len(axes_of(reader, o))
    given, left = _axes(reader, o, rank), iter(x.sizes)
    return x.sized(tuple(1 if i in given else next(left) for i in range(1, rank)))


def _axes(reader: Reader, o: Operator, rank: int) -> set[int]:
    given = axes_of(reader, o)
    named = {axis % rank for axis in given if -rank <= axis < rank}
    right = len(named) == len(given) and 0 not in named
    require(right, "model.operator", f"at axes {given}")
    return named


def sizes_in(reader: Reader, name: str) -> Sequence[int]:
    """The sizes that a constant holds; BATCH stands for the number of images."""
    found = reader.whole(name)
    right = all(n >= -1 or n == BATCH for n in found)
    require(right, "model.operands", f"the sizes {found}")
    return found


def shape(reader: Reader, o: Operator, x: Seen) -> Tensor:
    """The sizes of a tensor. If the file leaves their number open, images are counted by BATCH."""
    sizes = [BATCH if reader.batch is None else reader.batch, *x.sizes]
    end = o.attribute("end", len(sizes))
    return np.array(sizes[o.attribute("start", 0) : end], np.int64)


def transpose(_: Reader, o: Operator, x: Seen) -> Seen:
    """With its axes in another order, the images first."""
    order = o.attribute("perm", [*range(x.rank)][::-1])
    right = sorted(order) == [*range(x.rank)] and order[0] == 0
    require(right, "model.operator", f"to the axes {order}, the images not first")
    return x.arranged(np.ascontiguousarray(x.units.transpose([k - 1 for k in order[1:]])))


def to_space(_: Reader, o: Operator, x: Seen) -> Seen:
    """DepthToSpace: channels become places of a block; SpaceToDepth, the other way."""
    block, (channels, high, wide) = o.attribute("blocksize", 0), x.sizes
    if o.op == "SpaceToDepth":
        fits = high % block == wide % block == 0
        sizes, order = (channels, high // block, block, wide // block, block), (2, 4, 0, 1, 3)
        last = (channels * block * block, high // block, wide // block)
    else:
        fits, deep = channels % (block * block) == 0, channels // (block * block)
        by_column = o.attributes.get("mode", "DCR") == "CRD"
        sizes = (deep, block, block, high, wide) if by_column else (block, block, deep, high, wide)
        order = (0, 3, 1, 4, 2) if by_column else (2, 3, 0, 4, 1)
        last = (deep, high * block, wide * block)
    require(fits, "model.shape", f"of {x.sizes} by blocks of {block}")
    return x.arranged(np.ascontiguousarray(x.units.reshape(sizes).transpose(order)).reshape(last))


RULES = {
    "Cast": Rule({0: same_constant, 1: widened}),
    "DepthToSpace": Rule({1: to_space}, ranks=(4,)),
    "Dropout": Rule({1: same}, (1, 2, 3), spare=True),
    "Flatten": Rule({1: flatten}),
    "Identity": Rule({0: same_constant, 1: same}),
    "Reshape": Rule({0: reshaped, 1: reshape}, (2,)),
    "Shape": Rule({0: sizes_of, 1: shape}),
    "SpaceToDepth": Rule({1: to_space}, ranks=(4,)),
    "Squeeze": Rule({0: resized, 1: squeeze}, (1, 2)),
    "Transpose": Rule({0: turned, 1: transpose}),
    "Unsqueeze": Rule({0: resized, 1: unsqueeze}, (1, 2)),
}
CAST, ANY = {"to": whole(1, 28)}, (*BYTES_TOO, *LISTED)
FORMS = {
    "Cast": {
        7: Form((ANY,), 1, CAST),
        19: Form((ANY,), 1, {**CAST, "saturate": whole(1, 1)}),
    },
    "DepthToSpace": {
        7: Form((F,), 1, {"blocksize": whole(1, MOST)}),
        11: Form((F,), 1, {"blocksize": whole(1, MOST), "mode": text("DCR", "CRD")}),
    },
    "Dropout": {
        7: Form((F,), 1, {"ratio": finite}),
        12: Form((F, F, ()), 1, {"seed": INTEGER}),
    },
    "Flatten": {7: Form((BYTES_TOO,), 1, {"axis": AXIS})},
    "Identity": {7: Form((ANY,), 1)},
    "Reshape": {
        7: Form((ANY, LISTED), 2),
        14: Form((ANY, LISTED), 2, {"allowzero": FLAG}),
    },
    "Shape": {
        7: Form((ANY,), 1),
        15: Form((ANY,), 1, {"start": AXIS, "end": AXIS}),
    },
    "SpaceToDepth": {7: Form((F,), 1, {"blocksize": whole(1, MOST)})},
    **{
        key: {
            7: Form((ANY,), 1, {"axes": axes}),
            13: Form((ANY, LISTED), least),
        }
        for key, least in (("Squeeze", 1), ("Unsqueeze", 2))
    },
    "Transpose": {7: Form((ANY,), 1, {"perm": axes})},
}
