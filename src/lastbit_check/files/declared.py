"""What the file says of values beside what it computes: types and sizes, which must be the same.

A runtime may plan its memory by them, and another believe what it computes.

Map: file
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lastbit_check.onnxfile import Declared
from lastbit_check.verdict import require

Shapes = Mapping[str, tuple[int | None, ...]]
"""Sizes of values by name; None for the batch, if the file leaves that open."""


def image_sizes(image: Declared) -> tuple[int | None, tuple[int, ...]]:
    """Batch and sizes of the input. Raises Rejected (rule model.input) if they are not known."""
    batch, *sizes = image.dims or (None,)
    known = tuple(size for size in sizes if isinstance(size, int))
    right = len(known) == len(sizes) > 0 and (batch == 1 or not isinstance(batch, int))
    require(right, "model.input", f"the image's dimensions {image.dims}")
    return (1 if batch == 1 else None), known


def check_declared(
    declared: Sequence[Declared], elements: Mapping[str, int | None], shapes: Shapes
) -> None:
    """Rule model.declared. What is said of a value that is nowhere computed is passed over.

    A name of a size stands for one size.
    """
    sizes: dict[str, int | None] = {}
    for value in declared:
        name, element = value.name, elements.get(value.name)
        if name not in shapes:
            continue
        right = None in (value.element, element) or value.element == element
        if value.dims is not None:
            right = right and len(value.dims) == len(shapes[name])
            for dim, size in zip(value.dims, shapes[name], strict=False):
                said = sizes.setdefault(dim, size) if isinstance(dim, str) else dim
                right = right and (dim is None or said == size)
        said = f"{name!r} is said to be {value.dims} of type {value.element}"
        require(right, "model.declared", f"{said}; it is {shapes[name]} of type {element}", name)
