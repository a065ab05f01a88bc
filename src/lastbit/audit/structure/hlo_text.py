"""XLA's HLO as text, in its short parsable form: computations, instructions, constants."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+)[^={]*\{\s*$")
INSTRUCTION = re.compile(r"^\s*(ROOT )?%?([\w.\-]+) = (.*)$")
ARRAY = re.compile(r"^(\w+)\[([\d,]*)\](?:\{([\d,]*)[^}]*\})?")
COMMENT = re.compile(r"/\*.*?\*/")
TYPES = {"f32": np.float32, "f64": np.float64, "s32": np.int32, "s64": np.int64, "u8": np.uint8,
         "pred": np.bool_}  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """An array: its type, its axes, and these from the slowest to the fastest in memory."""

    kind: str
    axes: tuple[int, ...]
    order: tuple[int, ...]


@dataclass(frozen=True)
class Instruction:
    """``shape`` is None for a tuple; ``literal`` are the numbers of a constant."""

    name: str
    opcode: str
    shape: Shape | None
    operands: tuple[str, ...]
    attributes: dict[str, str]
    root: bool
    literal: np.ndarray | None = None


@dataclass(frozen=True)
class Computation:
    """Instructions in an order in which they can be computed."""

    name: str
    instructions: tuple[Instruction, ...]

    @property
    def root(self) -> Instruction:
        """The result."""
        return next(i for i in self.instructions if i.root)


@dataclass(frozen=True)
class Module:
    """All computations by name, and the entry's."""

    computations: dict[str, Computation]
    entry: str

    @cached_property
    def by_name(self) -> dict[str, Instruction]:
        """All instructions: no two of a module share a name."""
        return {i.name: i for c in self.computations.values() for i in c.instructions}


def parsed(text: str) -> Module:
    """The module in a text.

    Raises:
        ValueError: it is not of this form.
    """
    found, entry = dict[str, Computation](), ""
    name, lines = "", list[Instruction]()
    for line in text.splitlines():
        head = HEAD.match(line)
        if head and not line.startswith("HloModule"):
            name, lines = head[2], []
            entry = name if head[1] else entry
        elif line.startswith("}"):
            found[name] = Computation(name, tuple(lines))
        elif name and (match := INSTRUCTION.match(line)):
            lines.append(_instruction(match[2], match[3], root=bool(match[1])))
    if entry not in found:
        raise ValueError("no entry computation in the text of XLA's program")
    return Module(found, entry)


def _instruction(name: str, text: str, *, root: bool) -> Instruction:
    shape_text, rest = _shape_text(text)
    opcode, _, rest = rest.partition("(")
    inside, rest = _closed(rest)
    attributes = dict(_attribute(part) for part in _split(rest.lstrip(", ")))
    shape = None if shape_text.startswith("(") else shape_of(shape_text)
    if opcode == "constant" and shape is not None:
        return Instruction(name, opcode, shape, (), attributes, root, _literal(inside, shape))
    operands = tuple(part.split()[-1].lstrip("%") for part in _split(inside) if part.strip())
    return Instruction(name, opcode, shape, operands, attributes, root)


def shape_of(text: str) -> Shape:
    """An array's shape, ``f32[4,3]{1,0}``."""
    match = ARRAY.match(text)
    if match is None:
        raise ValueError(f"no shape of an array: {text[:80]}")
    axes = _numbers(match[2])
    order = tuple(reversed(_numbers(match[3]))) if match[3] else tuple(range(len(axes)))
    return Shape(match[1], axes, order)


def numbers_in(text: str) -> tuple[int, ...]:
    """The numbers of ``{0,2,1}``."""
    return _numbers(text.strip("{}"))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(n) for n in text.split(",") if n)


def _shape_text(text: str) -> tuple[str, str]:
    """A shape, perhaps a tuple of shapes, and what follows."""
    if not text.startswith("("):
        shape, _, rest = text.partition(" ")
        return shape, rest
    inside, rest = _closed(text[1:])
    return f"({inside})", rest.lstrip()


def _closed(text: str) -> tuple[str, str]:
    """What stands before the bracket that closes the one before ``text``, and after it."""
    depth = 1
    for match in re.finditer(r"[()]", text):
        depth += 1 if match[0] == "(" else -1
        if not depth:
            return text[: match.start()], text[match.end() :]
    raise ValueError(f"a bracket is not closed: {text[:80]}")


def _split(text: str) -> list[str]:
    """At the commas that stand in no brackets and no quotes."""
    parts, depth, start, quoted = list[str](), 0, 0, False
    for k, c in enumerate(text):
        if c == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
        elif c == "," and not depth:
            parts.append(text[start:k].strip())
            start = k + 1
    return [part for part in (*parts, text[start:].strip()) if part]


def _attribute(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key.strip(), value.strip()


def _literal(text: str, shape: Shape) -> np.ndarray:
    """The numbers of a constant, exactly: XLA writes as many digits as that takes."""
    plain = COMMENT.sub("", text).replace("{", " ").replace("}", " ")
    if shape.kind == "pred":
        plain = plain.replace("true", "1").replace("false", "0")
    if "..." in plain:
        raise ValueError("a constant's numbers are left out of the text")
    kind = TYPES.get(shape.kind, np.float64)
    values = np.array([v for v in plain.replace(",", " ").split() if v], np.float64).astype(kind)
    return values.reshape(shape.axes)
