"""Searching for the pair of images that moves an answer most; needs PyTorch.

The search steers by numbers that prove nothing; what counts at its end is what the runtimes show.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lastbit.errors import MissingExtraError, UsageError
from lastbit.graph import ByteArray, Model, Network, read_onnx
from lastbit.progress import Progress, silent
from lastbit.witness.files import Witness
from lastbit.witness.pairs import told_by_pixel
from lastbit.witness.replay import measure_pair
from lastbit.witness.search.budget import Budget, Report
from lastbit.witness.search.patches.patch import Patch

if TYPE_CHECKING:
    from lastbit.witness.search.move_search import MoveSearch
    from lastbit.witness.search.moves import Pair
    from lastbit.witness.search.multistart import MultiStartSearch
    from lastbit.witness.search.scoring import Candidate

MEASURED, CLOSE = 3, 1 - 1e-3
"""How many of the best pairs are run on the runtimes at the end, if they are as close as this."""


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found.

    Attributes:
        witness: the best pair, as the runtimes show it; the one that was known, if it is the best.
        patch: the patch that moves the difference of two logits most, as far as the search knows;
            None where the network does not become linear after a few layers.
        starts: how many images, and patches of images, were climbed from.
        searched: whether there was time for any: if not, the pair is an image as good as any other,
            and its L says nothing of the network.
        seconds: how long it searched.
        interrupted: whether Ctrl-C ended it.
    """

    witness: Witness
    patch: Patch | None
    starts: int
    searched: bool
    seconds: float
    interrupted: bool

    @property
    def share(self) -> float | None:
        """L as a share of what the patch allows, tanh(change / 4)."""
        if self.patch is None or not self.patch.limit > 0:
            return None
        return self.witness.lower / self.patch.limit


def search(
    model: Model,
    *,
    seconds: float = 300.0,
    starts: int = 64,
    seed: int = 0,
    rounds: int | None = None,
    images: ByteArray | None = None,
    known: Witness | None = None,
    patches: Sequence[Patch] = (),
    progress: Progress = silent,
    report: Report = lambda *_: None,
) -> Found:
    """Search for a witness until the time is up or Ctrl-C; either way the best so far comes back.

    Where the network becomes linear after a few layers, the search ends by itself once it attains
    what the best patch it could find allows; the seed then decides the result.

    Args:
        model: an ONNX file.
        seconds: for the search; running the best pairs on all runtimes comes on top.
        starts: images that are climbed from at a time.
        seed: of everything random.
        rounds: stop after so many; where the time suffices, the seed then decides the result.
        images: uint8 (N, H, W) to start from, next to random ones.
        known: a pair to start from too; another model's may serve, or of another move its first
            image.
        patches: to start from too, a branch and bound's, say; of use only where the network becomes
            linear.
        progress: told of whole seconds.
        report: told of each new best.

    Raises:
        MissingExtraError: PyTorch is not installed.
        UsageError: a nonsensical limit; a patch that does not fit.
        ModelError: the model cannot be read, or a runtime returns no number.
    """
    network, budget = _searchable(model, seconds, starts), Budget(seconds, progress)
    if network.question.box:
        return _in_the_box(model, network, budget, starts, seed, images)
    run = _course(network, budget, starts, seed, images, report)
    interrupted = False
    try:
        run.run(known, rounds, patches)
    except KeyboardInterrupt:
        interrupted = True
    spent = run.budget.spent
    same = known is not None and known.model_sha256 == network.sha256
    if known is not None and same and known.question == network.question and not run.improved:
        witness = known
    else:
        close = [one for one in run.best[:MEASURED] if one.score >= CLOSE * run.best[0].score]
        witness = _measured(model, close, progress)
    searched = run.climbed > 0 or run.improved
    return Found(witness, run.patch, run.climbed, searched, spent, interrupted)


def _in_the_box(
    model: Model, network: Network, budget: Budget, starts: int, seed: int, images: ByteArray | None
) -> Found:
    """Among float32 numbers, of which some move in their last bit."""
    from lastbit.witness.search.numbers import steepest

    best, batches = steepest(network, budget, starts, seed, images)
    witness = _measured(model, best[:MEASURED], silent)
    return Found(witness, None, batches * starts, bool(batches), budget.spent, interrupted=False)


def _course(
    network: Network,
    budget: Budget,
    starts: int,
    seed: int,
    images: ByteArray | None,
    report: Report,
) -> MultiStartSearch | MoveSearch:
    """The search for the last bit of one place, or for any other move."""
    from lastbit.witness.search.move_search import MoveSearch
    from lastbit.witness.search.multistart import MultiStartSearch

    one_bit = told_by_pixel(network.question, network.input_shape)
    course = MultiStartSearch if one_bit else MoveSearch
    return course(network, budget, starts, seed, images, report)


def _searchable(model: Model, seconds: float, starts: int) -> Network:
    """The network, if it can be searched on: raises as `search`."""
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError("the search", "train")
    network = read_onnx(model)
    if not (seconds > 0):
        raise UsageError("a search needs some time", where=f"--seconds {seconds:g}")
    if not (starts > 0):
        raise UsageError("a search needs at least one start", where=f"--starts {starts}")
    return network


def _measured(model: Model, pairs: Sequence[Candidate | Pair], progress: Progress) -> Witness:
    """The pair of which the runtimes show most."""
    found: list[Witness] = []
    for done, one in enumerate(pairs):
        progress("running the best pairs on every runtime", done, len(pairs))
        found.append(measure_pair(model, one.image, one.other, one.class_index))
    progress("running the best pairs on every runtime", len(pairs), len(pairs))
    return max(found, key=lambda witness: witness.lower)
