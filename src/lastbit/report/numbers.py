"""Numbers as text: what is shortened is rounded in the direction in which it stays true."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup

DIGITS = 6
_ROUNDED = {"up": ROUND_CEILING, "down": ROUND_FLOOR, "": ROUND_HALF_EVEN}


def shortened(value: float, direction: str = "", digits: int = DIGITS) -> str:
    """``value`` with so many significant digits: "up" never less than it, "down" never more."""
    if not math.isfinite(value):
        return "too large for float64" if value > 0 else str(value)
    context = Context(prec=digits, rounding=_ROUNDED[direction])
    rounded = context.create_decimal(Decimal(value)).normalize(Context(prec=digits))
    plain = -5 < rounded.adjusted() < 9
    return f"{rounded:f}" if plain or not rounded else f"{rounded:e}"


def number(value: float | None, direction: str = "", digits: int = DIGITS) -> Markup:
    """The same as HTML, with all bits of it: the element's value is what float.fromhex reads."""
    from markupsafe import Markup

    if value is None:
        return Markup('<span class="none">not known</span>')
    value += 0.0  # of -0.0 makes 0.0
    return Markup('<data value="{}" title="{!r}">{}</data>').format(
        value.hex(), value, shortened(value, direction, digits)
    )


def percent(value: float) -> str:
    """A share, to a tenth of a percent."""
    return f"{100 * value:.1f} %"
