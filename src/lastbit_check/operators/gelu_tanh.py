"""Gelu by the hyperbolic tangent: (z/2) (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))).

What is assumed: a computed one is within 12u|z| + 2^-126, by one operator or by those that
exporters write, halved before, between or after. Largest errors seen: 3.31u|z| (ONNX Runtime, XLA),
1.92u|z| (PyTorch, compiled or not).

A constant may be folded into the last factors of x, as XLA does: with k roundings of these, z is
another (2 k + 2)u of itself off, and z^3 three times that, in what tanh reads; Gelu is
|z/2| sech^2(w) |w| <= 0.224 |z| times that off. x times a constant is cubed, or the constant is: it
is not larger than 2^16, nor smaller than its inverse, so that an underflow is nothing beside u.

With s = sigmoid(2 w): gelu = z s, gelu' = s + z s (1 - s) 2 w'. Between the points of the tables
gelu turns at -0.7524..., gelu' at +-1.4185..., and gelu'' is largest at 0: 0.798.

Map: gelu-tanh; argued in docs/bound.md 2
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from functools import partial

import numpy as np

from lastbit_check.arithmetic.enclosure import END, Tabulated, enclosed, exp_bounds
from lastbit_check.files.operators import F, Form, text
from lastbit_check.network import Node, Part, growth, product
from lastbit_check.onnxfile import Operator
from lastbit_check.operators import gelu
from lastbit_check.operators.curves import CurveKind, Family
from lastbit_check.operators.reading import Reader, Rule, made, roundings_before
from lastbit_check.verdict import require

ERROR = Fraction(12)
MOST, MOST_FACTOR = Fraction(2) ** 40, Fraction(2) ** 16
ROOT = Fraction(797884560802865355879892119868, 10**30)  # of 2 / pi, its next digits not known
CUBED = Fraction(44715, 10**6)
Bounds = tuple[Fraction, Fraction]


def either(_: Reader, o: Operator, x: Node) -> Node:
    """Gelu as one operator: exact, or this one."""
    tanh = o.attributes.get("approximate", "none") == "tanh"
    return times_gelu(o, x, 1) if tanh else gelu.times_gelu(o, x, 1)


def times_gelu(o: Operator, x: Node, scale: int) -> Node:
    """So many times Gelu. Its parameters: what folding costs, in units of u |z|; the scale."""
    small = growth(x.trailing) <= MOST_FACTOR
    require(small, "model.operator", "by tanh, of what factors beyond 2^16 multiply")
    folding = np.ceil((2 * roundings_before(x) + 2) * 0.7) * scale
    parameters = folding.astype(np.float32), np.full(x.shape[0], scale, np.float32)
    return made(o, "gelutanh", x, parameters=parameters)


def from_parts(reader: Reader, o: Operator, y: Node, s: Node) -> Node | None:
    """Gelu, or twice that, if y is x and s is 1 + tanh(...), perhaps halved; else None."""
    inner = gelu.one_more(reader, s, "tanh")
    x = _argument(reader, reader.seen(inner[0].inputs[0]).node) if inner else None
    if inner is None or x is None:
        return None
    outer = gelu.multiple(y, x)
    scale = 2 * inner[1] * outer if outer is not None else 0
    small = growth(x.trailing) <= MOST_FACTOR
    return times_gelu(o, x, int(scale)) if scale in (1, 2) and small else None


def _argument(reader: Reader, w: Node) -> Node | None:
    """The node x of which w is sqrt(2/pi) (x + 0.044715 x^3)."""
    if w.sum is None or len(w.sum.parts) != 2 or w.sum.constants:
        return None
    for one, other in (w.sum.parts, w.sum.parts[::-1]):
        cube, by = _multiple(reader, other, w)
        x, first = reader.seen(one.source).node, _scale(one, w)
        if cube.op == "power" and cube.inputs == (x.name,) and cube.parameters[0][0] == 3:
            bare = one.copies and one.view is None
            right = bare and by is not None and first is not None and _near(first, ROOT)
            if right and by is not None and first is not None and _near(by / first, CUBED):
                return x
    return None


def _multiple(reader: Reader, part: Part, w: Node) -> tuple[Node, Fraction | None]:
    """The node that a part is copies of, or that its own source is; and what multiplies it."""
    node, by = reader.seen(part.source).node, _scale(part, w)
    if not part.copies or part.view is not None:
        return node, None
    if node.sum is not None and len(node.sum.parts) == 1 and not node.sum.constants:
        (inner,) = node.sum.parts
        more = _scale(inner, node)
        if inner.copies and inner.view is None and more is not None and by is not None:
            return reader.seen(inner.source).node, by * more
    return node, by


def _scale(part: Part, node: Node) -> Fraction | None:
    """The one constant that multiplies a part."""
    return gelu.uniform(product(part.factors, node.shape[0]))


def _near(x: Fraction, wanted: Fraction) -> bool:
    """Within what two constants of binary32 may be off."""
    return abs(x - wanted) <= wanted / 2**22


def _powers(z: Fraction) -> Bounds:
    """exp(2 w)."""
    w = 2 * abs(z) * (1 + CUBED * z * z)
    least, most = w * ROOT, w * (ROOT + Fraction(1, 10**30))
    low, high = exp_bounds(least)[0], exp_bounds(most)[1]
    return (low, high) if z >= 0 else (1 / high, 1 / low)


def _values(z: Fraction) -> Bounds:
    low, high = (e / (1 + e) for e in _powers(z))
    return z * low, z * high


def _slopes(z: Fraction) -> Bounds:
    """With z s (1 - s) 2 w' = z w' 2 e / (1 + e)^2, e = exp(2 w)."""
    low, high = _powers(z)
    rise = 2 * z * (1 + 3 * CUBED * z * z)
    ends = (rise * c * e / (1 + f) ** 2
            for e, f in ((low, high), (high, low))
            for c in (ROOT, ROOT + Fraction(1, 10**30)))  # fmt: skip
    more = sorted(ends)
    return low / (1 + low) + more[0], high / (1 + high) + more[-1]


VALUES = Tabulated.exactly(
    _values, ((-END, -END, 0.0), (-49, -48, -0.170041), (END, END, math.inf)), near=(0.0, 1.0)
)
SLOPES = Tabulated.exactly(
    _slopes,
    ((-END, -END, 0.0), (-91, -90, -0.128994), (90, 91, 1.128994), (END, END, 1.0)),
    near=(0.5, 0.8),
)
PLAIN = replace(
    gelu.PLAIN,
    values=partial(enclosed, VALUES),
    slopes=partial(enclosed, SLOPES),
    error=ERROR,
    most=MOST,
)


def curve(node: Node) -> CurveKind:
    """Gelu, or twice that."""
    return gelu.doubled(PLAIN, int(node.parameters[1][0] == 2))


RULES = {"Gelu": Rule({1: either}, by_number=True)}
FORMS = {"Gelu": {20: Form((F,), 1, {"approximate": text("none", "tanh")})}}
KINDS = {"gelutanh": Family(curve, ("gelutanh-absolute-12u|z|",))}
