"""A rewritten graph, run in float64 on a few images: which node of the normal form each tensor is.

Every front-end (ONNX Runtime's optimised model, XLA's HLO, inductor's graph) walks its operations
and tells this module what each does. Constants are taken as the runtime has them, folded or not. A
tensor carries its value, the magnitudes of the terms that it was made of, and the nodes that it is
a linear function of. As soon as a tensor is a linear function of just what a sum of the normal form
reads, and its value is that sum but for what folded constants may be rounded (`scale`), it *is*
that node, and is replaced by the exact one; likewise for curves and products. A factor that comes
last may be missing, because it was moved into what reads the node.

So partial sums may come in any order and any grouping (`sum`), but a product, an exponential or a
softmax has to read nodes. What only copies numbers of a node is that node (layouts.py). Values are
compared on random images, in any places: that two different functions agree there is not proved
impossible, only as unlikely as two images alike.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from lastbit.audit.structure.expected import Expected, Want
from lastbit.audit.structure.folded import wrongly_folded
from lastbit.audit.structure.layouts import anywhere, in_place
from lastbit.audit.sums import Float64Array


@dataclass(frozen=True)
class Traced:
    """A tensor of the rewritten graph on the images, in the graph's own layout.

    Attributes:
        value: in float64.
        size: upper bound of the sum of the magnitudes of the terms that it is made of.
        atoms: the nodes that it depends on; none of a constant.
        node: the node that it is, "" if none.
        missing: how many of that node's last factors were moved from it.
        curve: whether it is inside of a curve (an exponential, say), and not linear in its atoms.
        made: the operations that made it of its atoms, as text.
        lacking: the atoms of it that lacked a factor, which was moved from them.
        weights: those of convolutions that made it, (O, I / groups, kh, kw), as they were folded.
        multiple: the node that it is but for constants that multiply it, "" if none.
    """

    value: Float64Array
    size: Float64Array
    atoms: frozenset[str] = frozenset()
    node: str = ""
    missing: int = 0
    curve: bool = False
    made: str = ""
    lacking: frozenset[str] = frozenset()
    weights: tuple[Float64Array, ...] = ()
    multiple: str = ""

    @property
    def constant(self) -> bool:
        """Whether it does not depend on the image."""
        return not self.atoms


@dataclass
class Tracing:
    """What is known of a rewritten graph so far.

    Attributes:
        expected: what every node of the normal form should be on the images.
        copies: for each node, how it was made, each time, and by which operation.
        unknown: operations that match no node and no allowed rewriting, in words.
        constants: those of the graph, as `constant_key` has them.
        moved: how many nodes apply a factor of what they read.
    """

    expected: Expected
    copies: dict[str, list[tuple[str, str]]] = field(
        default_factory=dict[str, list[tuple[str, str]]]
    )
    unknown: list[str] = field(default_factory=list[str])
    constants: set[bytes] = field(default_factory=set[bytes])
    moved: int = 0

    def image(self) -> Traced:
        """The input of the graph, (N, C, H, W)."""
        first = self.expected.network.input
        value = self.expected.values[first.name].value
        return Traced(value, np.abs(value), frozenset({first.name}), first.name, 0, made="image")

    def constant(self, value: NDArray[np.generic], made: str = "") -> Traced:
        """A constant of the graph."""
        x = value.astype(np.float64)
        self.constants.add(constant_key(value))
        return Traced(x, np.abs(x), made=made or f"{zlib.crc32(x.tobytes()):08x}")

    def linear(
        self,
        what: str,
        apply: Callable[[Sequence[Float64Array]], Float64Array],
        xs: Sequence[Traced],
        *,
        sizes: Callable[[Sequence[Float64Array]], Float64Array] | None = None,
        weights: Float64Array | None = None,
        padded: bool = False,
    ) -> Traced:
        """An operation that is linear in what it reads.

        Args:
            what: its name.
            apply: the operation.
            xs: what it reads.
            sizes: the same for magnitudes.
            weights: of a convolution, (O, I / groups, kh, kw).
            padded: there may be more channels than a node has.
        """
        value = apply([x.value for x in xs])
        size = (sizes or apply)([x.size for x in xs])
        found = self._joined(what, value, size, xs, settle=False)
        if weights is not None:
            for x in xs:
                if x.curve:
                    self.refuse(what, f"a layer of {_named(x)}")
            found = replace(found, weights=(*found.weights, weights))
        return self._settled(what, found, padded=padded)

    def copied(self, what: str, apply: Callable[[Float64Array], Float64Array], x: Traced) -> Traced:
        """An operation that only moves numbers: it is what it reads."""
        value, size = apply(x.value), apply(x.size)
        return replace(x, value=value, size=size, made=f"{what}({x.made})" if what else x.made)

    def beside(self, what: str, xs: Sequence[Traced], axis: int) -> Traced:
        """Several tensors side by side: copies, of one node perhaps."""
        value, size = (np.concatenate(v, axis) for v in ([x.value for x in xs],
                                                         [x.size for x in xs]))  # fmt: skip
        nodes = {(x.node, x.missing) for x in xs}
        if len(nodes) == 1 and xs[0].node:
            return replace(xs[0], value=value, size=size)
        return self._joined(what, value, size, xs)

    def times(self, what: str, x: Traced, y: Traced) -> Traced:
        """The product of two tensors that broadcast to each other."""
        value, size = x.value * y.value, x.size * y.size
        if x.constant or y.constant or x.curve or y.curve:
            return _multiplied(self._joined(what, value, size, (x, y)), x, y)
        inside = x.atoms == y.atoms and len(x.atoms) == 1  # of a curve: z^2, say
        for operand in () if inside else (x, y):
            self._has_to_be_a_node(what, operand)
            self.moved += bool(operand.multiple)
        found = self._joined(what, value, size, (x, y), product=True)
        if not (found.node or inside):
            self.refuse(what, f"a product of {_named(x)} and {_named(y)}")
        return found

    def divided(self, what: str, x: Traced, y: Traced) -> Traced:
        """A quotient: by a constant, inside of a curve, or of two nodes."""
        with np.errstate(divide="ignore", invalid="ignore"):
            value, size = x.value / y.value, x.size / np.abs(y.value)
        if y.constant:
            return _multiplied(self._joined(what, value, size, (x, y)), x, y)
        inside = y.curve or x.constant or x.atoms == y.atoms
        for operand in () if inside else (x, y):
            self._has_to_be_a_node(what, operand)
            self.moved += bool(operand.multiple)
        found = self._joined(what, value, size, (x, y), product=True)
        # where a sigmoid is 1 to the bit, the sum that divides in it was taken for it
        if not (found.node or inside):
            self.refuse(what, f"a quotient of {_named(x)} and {_named(y)}")
        return found

    def selected(self, what: str, chosen: Traced, x: Traced, y: Traced) -> Traced:
        """One or the other, by a comparison: inside of a curve.

        Where one is 0 but for numbers of the node that is made of the other, it was taken for that.
        If these images never choose one, it may be a node by itself.
        """
        for one, other, always in ((x, y, chosen.value != 0), (y, x, chosen.value == 0)):
            node = self.expected.network.by_name.get(one.node)
            read = {self.expected.same.get(name, name) for name in node.inputs} if node else None
            if node is None or node.op == "sum" or not other.node or read != {other.node}:
                continue
            if np.all(always) and always.shape == one.value.shape:
                return one
            inside = replace(one, atoms=other.atoms, node="", curve=True)
            x, y = (inside, other) if one is x else (other, inside)
            break
        return self.linear(what, lambda v: np.where(v[0] != 0, v[1], v[2]), (chosen, x, y))

    def curved(self, what: str, apply: Callable[[Float64Array], Float64Array], x: Traced
               ) -> Traced:  # fmt: skip
        """A function that is not linear, number by number or over classes."""
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            value = apply(x.value)
        if x.constant:
            return Traced(value, np.abs(value), made=f"{what}({x.made})")
        if len(x.atoms) != 1:
            self.refuse(what, f"a curve of {_named(x)}")
        found = Traced(value, np.abs(value), x.atoms, curve=True, made=f"{what}({x.made})",
                       lacking=_lacking(x))  # fmt: skip
        return self._settled(what, found)

    def refuse(self, what: str, why: str) -> None:
        """Name an operation that matches nothing."""
        self.unknown.append(f"{what}: {why}")

    def finish(self, what: str, last: Traced) -> Traced:
        """The output of the graph has to be the softmax."""
        network = self.expected.network
        name, logits = network.nodes[-1].name, network.logits
        found = None
        if last.curve and last.atoms == {self.expected.same.get(logits, logits)}:
            found = self._matched(last, name, 0, self.expected.of(name, 0), scattered=False)
        if found is None:
            self.refuse(what, f"it is not {name}, but {_named(last)}")
            return last
        self.copies.setdefault(name, []).append((what, last.made))
        return found

    def _joined(
        self, what: str, value: Float64Array, size: Float64Array, xs: Iterable[Traced],
        *, product: bool = False, settle: bool = True,
    ) -> Traced:  # fmt: skip
        xs = list(xs)
        atoms = frozenset[str]().union(*(x.atoms for x in xs))
        curve = any(x.curve for x in xs)
        made = f"{_kind(what)}({', '.join(x.made for x in xs)})"
        if curve and len(atoms) > 1:
            self.refuse(what, f"a sum or product with the inside of a curve: {', '.join(atoms)}")
        weights = tuple(w for x in xs for w in x.weights)
        lacking = frozenset[str]().union(*(_lacking(x) for x in xs))
        found = Traced(value, size, atoms, "", 0, curve or product, made, lacking, weights)
        return self._settled(what, found) if settle else found

    def _settled(self, what: str, x: Traced, *, padded: bool = False) -> Traced:
        """What it is, if it is a node."""
        if x.constant:
            return x
        for name, missing in self.expected.candidates(x.atoms, linear=not x.curve):
            want = self.expected.of(name, missing)
            channels = want.value.shape[1]
            here = x
            if padded and x.value.shape[1] > channels:
                here = replace(x, value=x.value[:, :channels], size=x.size[:, :channels])
            found = self._matched(here, name, missing, want)
            if found is not None:
                if name in x.atoms:
                    return found
                self.copies.setdefault(name, []).append((what, x.made))
                self.moved += bool(x.lacking)
                for atom in sorted(x.lacking - self.expected.read_by(name)):
                    self.refuse(what, f"a factor of {atom} is applied in {name}, beyond a copy")
                for wrong in wrongly_folded(self.expected, name, x.weights):
                    self.refuse(what, wrong)
                return found
        return x

    def _matched(
        self, x: Traced, name: str, missing: int, want: Want, *, scattered: bool = True
    ) -> Traced | None:
        size = None if x.curve else x.size
        value = in_place(x.value, size, want)
        if value is None and scattered:
            value = anywhere(x.value, size, want)
        if value is None:
            return None
        return Traced(value, np.abs(value), frozenset({name}), name, missing, made=name)

    def _has_to_be_a_node(self, what: str, x: Traced) -> None:
        """A factor of one operand may have been moved to the other one."""
        if not x.node and not x.curve and not x.multiple:
            self.refuse(what, f"it reads {_named(x)}")


def constant_key(values: NDArray[np.generic]) -> bytes:
    """Constants alike but for order, signs and zeros have one key; 0, 1 and infinity have none."""
    x = np.abs(np.asarray(values, np.float32).ravel())
    x = np.sort(x[(x != 0) & np.isfinite(x)])
    return b"" if x.size == 1 and x[0] == 1 else x.tobytes()


def _multiplied(found: Traced, x: Traced, y: Traced) -> Traced:
    """A product or quotient, of which one operand may be a constant, the other (nearly) a node."""
    if found.node or x.constant == y.constant:
        return found
    other = y if x.constant else x
    name = other.node or other.multiple
    return replace(found, multiple=name)


def _lacking(x: Traced) -> frozenset[str]:
    """The atoms of a tensor that lack a factor."""
    return x.lacking | x.atoms if x.missing else x.lacking


def _named(x: Traced) -> str:
    if x.node:
        return x.node
    kind = "something" if x.curve else "an unfinished sum"
    return f"{kind} of {', '.join(sorted(x.atoms)) or 'constants'}, made by {x.made[:200]}"


def _kind(what: str) -> str:
    """The operation without the name of its result."""
    return what.partition(" ")[0]
