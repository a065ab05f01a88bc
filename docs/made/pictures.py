"""The pictures of the documentation: `python docs/made/pictures.py` draws them anew.

What they show is read from the shipped models' files, from what `lastbit prove tight` printed
(docs/start.md), or computed in binary32. Each is SVG that follows the reader's light or dark scheme
and loads nothing.
"""

from __future__ import annotations

import base64
import json
import math
import re
import struct
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "pictures"
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1d2330 }
.small { font-size: 11px } .strong { font-weight: 600 } .mono { font-family: monospace }
.axis { stroke: #8a93a5; fill: none } .line { stroke: #3949ab; stroke-width: 2; fill: none }
.chord { stroke: #c2410c; stroke-width: 2; fill: none; stroke-dasharray: 6 3 }
.one { fill: #3949ab } .two { fill: #8f9bd9 } .warm { fill: #c2410c } .none { fill: #c9cdd6 }
.mark { stroke: #c2410c; stroke-width: 2; fill: none } .soft { fill: #3949ab; fill-opacity: 0.12 }
@media (prefers-color-scheme: dark) {
text { fill: #e3e6ee } .axis { stroke: #7d8699 } .line { stroke: #9fa8f0 } .one { fill: #9fa8f0 }
.two { fill: #5c68b8 } .warm { fill: #fb923c } .mark, .chord { stroke: #fb923c }
.none { fill: #4a5160 } .soft { fill: #9fa8f0; fill-opacity: 0.16 } }
""".strip()

SHADES = {"one": "same-program", "two": "any-two"}
PARTS = r"same-program of  first layer (\S+), remainder (\S+), rounding (\S+), softmax (\S+)"
"""A line of what `lastbit prove` prints."""


def svg(width: int, height: int, title: str, parts: Iterable[str]) -> str:
    """A picture of so many units, which a screen reader calls by its title."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
    head += f"\n<title>{title}</title>\n<style>{STYLE}</style>"
    return "\n".join([head, *parts, "</svg>", ""])


def text(x: float, y: float, said: str, kind: str = "", anchor: str = "start") -> str:
    """One line, at its baseline."""
    said = said.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{said}</text>'


def box(x: float, y: float, width: float, height: float, kind: str) -> str:
    """A filled rectangle."""
    sides = f'width="{width:.2f}" height="{height:.1f}"'
    return f'<rect x="{x:.2f}" y="{y:.1f}" {sides} class="{kind}"/>'


def path(points: Iterable[tuple[float, float]], kind: str) -> str:
    """A line through points."""
    joined = " L".join(f"{x:.2f} {y:.2f}" for x, y in points)
    return f'<path d="M{joined}" class="{kind}"/>'


def file(*parts: str) -> Any:
    """A JSON file of the shipped models."""
    return json.loads(ROOT.joinpath("models", *parts).read_text("utf-8"))


def brackets() -> str:
    """L and U of each shipped model, for one program and any two executions, from 0 to 1."""
    left, wide, parts, y = 168, 500, list[str](), 40.0
    for folder in sorted((ROOT / "models").glob("*/certificate.json")):
        name = folder.parent.name
        claim, witness = file(name, "certificate.json")["claim"], file(name, "witness.json")
        lowers = (witness["lower"], witness["apart"]["lower"])
        parts.append(text(12, y + 14, name, "strong"))
        for (shade, executions), lower in zip(SHADES.items(), lowers, strict=True):
            low, high = float.fromhex(lower), float.fromhex(claim[executions]["upper"])
            nothing = high >= 1 and low < 1
            start, end = left + wide * low, left + wide * high
            kind = "none" if nothing else shade
            parts.append(box(start - 1, y + 2, max(end - start, 0) + 2, 8, kind))
            said = f"{low:.4f} to {high:.4f}" + (": U = 1 says nothing" if nothing else "")
            parts.append(text(70, y + 10, executions, "small"))
            parts.append(text(left + wide + 12, y + 10, said, "small"))
            y += 16
        y += 14
    for tick in range(6):
        x = left + wide * tick / 5
        parts.append(path([(x, 28), (x, y - 6)], "axis"))
        parts.append(text(x, 22, f"{tick / 5:.1f}", "small", "middle"))
    title = "The largest change of a probability by one last bit: from L, attained, to U"
    parts.append(text(12, y + 14, title, "small"))
    return svg(960, round(y + 24), title, parts)


def png(pixels: np.ndarray[Any, Any]) -> str:
    """A grey image (H, W) of bytes as a data URI; stored, so that no library's packing matters."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    height, width = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    stored = b"\x78\x01\x01" + struct.pack("<HH", len(rows), len(rows) ^ 0xFFFF) + rows
    stored += struct.pack(">I", zlib.adler32(rows))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", head) + chunk(b"IDAT", stored) + chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + chunks).decode()


def pair() -> str:
    """The two images that attain L of `tight`, the pixel marked."""
    witness, parts = file("tight", "witness.json"), list[str]()
    height, width = witness["shape"]
    image = np.frombuffer(base64.b64decode(witness["image"]), np.uint8).reshape(height, width)
    row, column = witness["pixel"]
    other = image.copy()
    other[row, column] ^= 1
    for x, name, one in ((12, "v", image), (292, "v'", other)):
        parts.append(
            f'<image x="{x}" y="30" width="252" height="252" href="{png(one)}" '
            'style="image-rendering: pixelated"/>'
        )
        side = 252 / width
        parts.append(
            f'<rect x="{x + side * column - 2:.1f}" y="{30 + side * row - 2:.1f}" '
            f'width="{side + 4:.1f}" height="{side + 4:.1f}" class="mark"/>'
        )
        said = f"{name}: pixel ({row}, {column}) is {one[row, column]}"
        parts.append(text(x, 20, said, "strong"))
    lower = float.fromhex(witness["lower"])
    said = (
        f"The probability of class {witness['class']} changes by {lower:.6f} on every runtime run"
    )
    parts.append(text(12, 302, said))
    return svg(556, 314, "The pair of images that attains L of tight", parts)


def slopes() -> str:
    """SiLU, two points of it, its chord, and the least and largest slope between them."""

    def silu(z: float) -> float:
        return z / (1 + math.exp(-z))

    def slope(z: float) -> float:
        s = 1 / (1 + math.exp(-z))
        return s * (1 + z * (1 - s))

    def at(z: float, y: float) -> tuple[float, float]:
        return 60 + (z + 2.5) * 100, 250 - (y + 0.5) * 65

    low, high = -0.75, 1.75
    grid = [low + (high - low) * k / 400 for k in range(401)]
    least, most = min(map(slope, grid)), max(map(slope, grid))
    chord = (silu(high) - silu(low)) / (high - low)
    left, right = at(low, 0)[0], at(high, 0)[0]
    parts = [
        box(left, 20, right - left, 262, "soft"),
        path([at(-2.5, 0), at(2.75, 0)], "axis"),
        path([at(0, -0.5), at(0, 2.9)], "axis"),
        path([at(-2.5 + k * 5.25 / 200, silu(-2.5 + k * 5.25 / 200)) for k in range(201)], "line"),
        path([at(low, silu(low)), at(high, silu(high))], "chord"),
    ]
    for z in (low, high):
        x, y = at(z, silu(z))
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="warm"/>',
                  text(x, 298, f"{z}", "small", "middle")]  # fmt: skip
    lines = (
        "silu(z) = z sigmoid(z)",
        f"mean slope of the chord: {chord:.4f}",
        f"slopes between: {least:.4f} to {most:.4f}",
        f"core m = {(least + most) / 2:.4f}",
        f"remainder: at most {(most - least) / 2:.4f} |z' - z|",
    )
    parts += [text(620, 70 + 24 * k, said, "" if k else "strong") for k, said in enumerate(lines)]
    return svg(860, 310, "SiLU between two points, its chord and its slopes", parts)


TERMS = (0.7, 0.00001234, 1234.5, -1233.9, 0.0456)


def trees() -> str:
    """The same terms added by a chain and by a balanced tree, each addition rounded to binary32."""
    terms = [np.float32(t) for t in TERMS]
    exact = math.fsum(float(t) for t in terms)
    parts, ends = list[str](), list[float]()
    for x, title, grouping in (
        (12, "from left to right", ((((0, 1), 2), 3), 4)),
        (442, "in pairs", ((0, 1), ((2, 3), 4))),
    ):
        drawn = list[str]()
        (_, _), value = _tree(grouping, terms, x, drawn)
        ends.append(float(value))
        parts += [text(x, 22, title, "strong"), *drawn]
        said = f"= {float(value):.9g}   (off by {float(value) - exact:+.2g})"
        parts.append(text(x, 262, said, "mono"))
    parts.append(text(12, 288, f"exactly, of the five binary32 numbers: {exact:.12g}", "small"))
    assert ends[0] != ends[1], "the picture should show two answers"
    return svg(870, 300, "Five terms added by two trees in binary32, with two results", parts)


def _tree(
    grouping: Any, terms: list[np.float32], x: float, drawn: list[str]
) -> tuple[tuple[float, float], np.float32]:
    """Draws a tree of additions; where its root is, and its value."""
    if isinstance(grouping, int):
        place = (x + 36 + 82 * grouping, 232.0)
        drawn.append(text(place[0], place[1] + 4, f"{terms[grouping]:.6g}", "small mono", "middle"))
        return (place[0], place[1] - 10), terms[grouping]
    (left, a), (right, b) = (_tree(part, terms, x, drawn) for part in grouping)
    value = np.float32(a + b)
    place = ((left[0] + right[0]) / 2, min(left[1], right[1]) - 30)
    drawn += [path([left, place, right], "axis"),
              text(place[0], place[1] - 6, f"{value:.7g}", "small mono", "middle")]  # fmt: skip
    return (place[0], place[1] - 18), value


def parts_of_u() -> str:
    """What U of `tight` is made of, as `lastbit prove tight` printed it, and L beside it."""
    printed = (ROOT / "docs" / "start.md").read_text("utf-8")
    found = re.search(PARTS, printed)
    assert found, "docs/start.md shows no such line"
    first, remainder, rounding, softmax = map(float, found.groups())
    lower = float.fromhex(file("tight", "witness.json")["lower"])
    upper = float.fromhex(file("tight", "certificate.json")["claim"]["same-program"]["upper"])
    left, scale = 12, 2700.0
    parts = [
        box(left, 44, scale * first, 34, "one"),
        box(left + scale * first, 44, scale * rounding, 34, "warm"),
        path([(left + scale * lower, 30), (left + scale * lower, 92)], "mark"),
        text(left, 24, f"first layers {first}", "strong"),
        text(left + scale * (first + rounding), 24, f"rounding {rounding}", "strong", "end"),
        text(left + scale * lower - 4, 108, f"L = {lower:.6f}, attained", "", "end"),
        text(left + scale * (first + rounding), 108, f"U = {upper:.6f}", "strong", "end"),
        text(left, 132, f"too thin: {remainder} remainder, {softmax} softmax", "small"),
    ]
    return svg(720, 142, "What U of tight is made of, for one program", parts)


def icon() -> str:
    """A bracket around a bit."""
    return svg(32, 32, "lastbit", [
        path([(11, 4), (5, 4), (5, 28), (11, 28)], "line"),
        path([(21, 4), (27, 4), (27, 28), (21, 28)], "line"),
        '<circle cx="16" cy="16" r="4" class="warm"/>',
    ])  # fmt: skip


DRAWN: dict[str, Callable[[], str]] = {
    "brackets": brackets, "pair": pair, "slopes": slopes, "trees": trees, "parts": parts_of_u,
    "icon": icon,
}  # fmt: skip


def main() -> None:
    """Draw them all."""
    PICTURES.mkdir(exist_ok=True)
    for name, draw in DRAWN.items():
        (PICTURES / f"{name}.svg").write_text(draw(), "utf-8")


if __name__ == "__main__":
    main()
