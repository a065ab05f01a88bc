"""One sum in every order: the terms are axis 0, and each addition is rounded.

Named orders:
    forward      ((t0 + t1) + t2) + ...
    reversed     the same from the last term
    pairwise     a balanced tree
    worst_first  from the largest to the smallest term, sorted for each sum by itself: the partial
                 sums climb as high as they can, and stay there as long as they can
    random:SEED  a random tree
"""

import numpy as np

from lastbit.errors import UsageError
from lastbit.float32.rounding import Arithmetic
from lastbit.graph import Float32Array

Order = str
"""A name from `ORDERS`, or "random:SEED" with an integer."""

ORDERS: tuple[Order, ...] = ("forward", "reversed", "pairwise", "worst_first")


def ordered_sum(
    terms: Float32Array, order: Order = "forward", arithmetic: Arithmetic | None = None
) -> Float32Array:
    """The sum over axis 0, (n, ...) to (...), carried out in float32 in that order.

    Raises:
        UsageError: there is no such order.
    """
    arithmetic = arithmetic or Arithmetic()
    match order:
        case "forward":
            return _chain(terms, arithmetic)
        case "reversed":
            return _chain(terms[::-1], arithmetic)
        case "pairwise":
            return _balanced(terms, arithmetic)
        case "worst_first":
            return _chain(-np.sort(-terms, axis=0), arithmetic)
        case _:
            return _random_tree(terms, random_seed(order), arithmetic)


def random_seed(order: Order) -> int:
    """The seed in "random:SEED".

    Raises:
        UsageError: it is something else.
    """
    name, _, seed = order.partition(":")
    if name != "random" or not seed.isdecimal():
        raise UsageError(
            f"no summation order {order!r}",
            fix=f"choose one of {', '.join(ORDERS)}, random:SEED",
        )
    return int(seed)


def _chain(terms: Float32Array, arithmetic: Arithmetic) -> Float32Array:
    total = arithmetic.flush(terms[0])
    for term in terms[1:]:
        total = arithmetic.add(total, term)
    return total


def _balanced(terms: Float32Array, arithmetic: Arithmetic) -> Float32Array:
    while len(terms) > 1:
        even = len(terms) // 2 * 2
        sums = arithmetic.add(terms[0:even:2], terms[1:even:2])
        terms = np.concatenate([sums, terms[even:]])
    return arithmetic.flush(terms[0])


def _random_tree(terms: Float32Array, seed: int, arithmetic: Arithmetic) -> Float32Array:
    random = np.random.default_rng(seed)
    trees = list(terms)
    while len(trees) > 1:
        for end in (1, 2):  # the two that are joined next move to the end
            i = int(random.integers(len(trees) - end + 1))
            trees[i], trees[-end] = trees[-end], trees[i]
        trees.append(arithmetic.add(trees.pop(), trees.pop()))
    return arithmetic.flush(trees[0])
