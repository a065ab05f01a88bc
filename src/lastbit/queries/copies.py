"""Running both copies of a network.

The program is ONNX Runtime at its defaults, which runs the file itself; whoever has the file can
repeat it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from lastbit.errors import ModelError, QueryError
from lastbit.queries.asks import Asks
from lastbit.queries.held import Assignment, holds
from lastbit.queries.parsed import size_of
from lastbit.queries.syntax import FIRST, SECOND, Tensor
from lastbit.runtimes.onnx_runtime import session_of

Flat = NDArray[Any]
"""Numbers of tensors (N, k), in row-major order."""
BATCH = 256
ELEMENTS = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}


class Copies:
    """A file in ONNX Runtime, fed with flat tensors.

    Raises:
        QueryError: the query declares other element types or sizes than the file's.
    """

    program = f"onnxruntime {onnxruntime.__version__}"

    def __init__(self, asked: Asks, model: Path) -> None:
        try:
            self._session = session_of(str(model), "all")
        except Exception as error:  # its exceptions have no common base of their own
            message = f"ONNX Runtime refuses the model: {error}"
            raise ModelError(message, where=str(model)) from error
        self._asked = asked
        (source,), (target,) = self._session.get_inputs(), self._session.get_outputs()
        query = asked.query
        for said, there in (
            (query.tensor(FIRST, is_input=True), source),
            (query.tensor(SECOND, is_input=True), source),
            (query.tensor(FIRST, is_input=False), target),
            (query.tensor(SECOND, is_input=False), target),
        ):
            _fits(said, there, query.path)
        self._sizes = [1 if not isinstance(n, int) else n for n in source.shape]
        self._many = bool(source.shape) and not isinstance(source.shape[0], int)
        self._type = np.dtype("u1" if source.type == "tensor(uint8)" else "f4")
        self._name = source.name
        self.only_exactly = False  # whether inputs were met that satisfy the query in this reading

    def outputs(self, inputs: Flat) -> Flat:
        """Of inputs (N, places): outputs (N, classes)."""
        given, parts = inputs.astype(self._type), list[Flat]()
        step = BATCH if self._many else 1
        for at in range(0, len(given), step):
            part = given[at : at + step]
            sizes = [len(part), *self._sizes[1:]] if self._many else self._sizes
            found = self._session.run(None, {self._name: part.reshape(sizes)})[0]
            parts.append(np.asarray(found).reshape(len(part), -1))
        return np.concatenate(parts)

    def assigned(self, first: Flat, second: Flat) -> Assignment | None:
        """The assignment that two inputs (places,) make, if it satisfies the query.

        Each copy is run by itself, and twice: a program that gives two answers is no network.
        """
        once, again = ([self.outputs(one[None])[0] for one in (first, second)] for _ in range(2))
        finite = all(np.isfinite(one).all() for one in once)
        same = all(np.array_equal(*pair) for pair in zip(once, again, strict=True))
        if not (finite and same):
            return None
        query, values = self._asked.query, dict[str, Flat]()
        for copy, (given, made) in enumerate(zip((first, second), once, strict=True)):
            values[query.tensor(copy, is_input=True).name] = given
            values[query.tensor(copy, is_input=False).name] = made
        if holds(query, values):
            return values
        self.only_exactly |= holds(query, values, exactly=True)
        return None


def _fits(said: Tensor, there: Any, path: str) -> None:
    element = ELEMENTS.get(there.type, there.type)
    free = said.element == "real" and element == "float32"
    if not free and said.element != element:
        message = f"{said.name} is declared as {said.element}, and is {element} in the model"
        fix = f"declare it as {element}"
        raise QueryError(message, where=path, fix=fix)
    sizes = [n if isinstance(n, int) else 1 for n in there.shape]
    if size_of(said) != int(np.prod(sizes)):
        message = f"{said.name} is declared with the sizes {[*said.shape]}, and has {sizes}"
        raise QueryError(f"{message} in the model", where=path)
