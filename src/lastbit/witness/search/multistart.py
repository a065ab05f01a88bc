"""The course of a search.

Where the network becomes linear after a few layers, the patch that lets the last bit move the
logits most is searched for first, and the rest of the image is steered so that the probabilities
follow. If that attains what the patch allows, the search is over.

Otherwise, and for all other networks, rounds go on. In each: ascent from many images at once, then
exact coordinate search from the best results. Half of the starts are fresh, half are variations on
the best pairs so far. The last part of the time goes into coordinate search from the best pairs.
"""

from collections.abc import Sequence

import numpy as np
import torch

from lastbit.graph import ByteArray, Network
from lastbit.witness.files import Witness
from lastbit.witness.search.budget import Budget, Report
from lastbit.witness.search.coordinate_search import CoordinateSearch
from lastbit.witness.search.gradient_ascent import Ascent
from lastbit.witness.search.patches.class_balance import ClassBalance
from lastbit.witness.search.patches.linear_head import fold_linear_head
from lastbit.witness.search.patches.patch import Patch
from lastbit.witness.search.patches.patch_search import PatchSearch
from lastbit.witness.search.patches.receptive_field import ReceptiveFields
from lastbit.witness.search.pruning import prune
from lastbit.witness.search.scoring import Candidate, IntArray, Scorer
from lastbit.witness.search.starting_points import fresh, varied

KEPT = 8
"""The best pairs that are remembered, each with another pixel."""
PATCHES = 16
"""The best patches whose classes are balanced."""
PATCH_SHARE, BALANCE_SHARE = 0.6, 0.75
"""The shares of the time after which patches, and the rest of the image, are left as they are."""
SETTLED = 1 - 1e-4
"""The share of what the best patch allows with which a search is content."""
POLISHED = 2
"""How many results of each round go into coordinate search."""
ROUNDS_SHARE = 0.8
"""The share of the time for rounds."""
POLISH_SHARE = 0.03
"""The share of the time for coordinate search in each round."""


class MultiStartSearch:
    """One search.

    Args:
        network: of images with one channel.
        budget: the time there is.
        starts: images that are climbed from at a time.
        seed: of everything random.
        images: uint8 (N, H, W) to start from; left alone where their size is not the network's.
        report: told of each new best.

    Attributes:
        best: the best pairs so far, best first; one at least.
        climbed: how many patches and images were climbed from.
    """

    def __init__(
        self,
        network: Network,
        budget: Budget,
        starts: int,
        seed: int,
        images: ByteArray | None,
        report: Report,
    ) -> None:
        self.budget = budget
        self.climbed = 0
        self._starts = starts
        self._report = report
        self._shape = network.input_shape[1:]
        self._images = images if images is not None and images.shape[1:] == self._shape else None
        self._random = np.random.default_rng(seed)
        network = prune(network)
        folded = fold_linear_head(network)
        network = folded or network
        local = folded is not None and ReceptiveFields(folded, torch.float32).local
        self._patches = (
            PatchSearch(folded, self._random, budget, PATCH_SHARE) if folded and local else None
        )
        self._found: list[Patch] = []
        self._balance = ClassBalance(network, self._random)
        self._scorer = Scorer(network)
        self._ascent = Ascent(network, self._random)
        self._polisher = CoordinateSearch(network, self._scorer, self._random)
        self.best = [self._scorer.candidate(np.zeros(self._shape, np.uint8), 0)]
        self._known = self.best[0].score

    def run(self, known: Witness | None, rounds: int | None, given: Sequence[Patch] = ()) -> None:
        """Search until the time is up, so many rounds are done, or nothing is left to gain.

        Args:
            known: a pair to start from, too.
            rounds: as many of those that follow the search for patches; None for any number.
            given: patches to start from, where the network becomes linear.
        """
        if known is not None and known.image.shape == self._shape:
            row, col = known.pixel
            candidate = self._scorer.candidate(known.image, row * self._shape[1] + col)
            self._known = max(self._known, candidate.score)
            self._keep(candidate)
        if self._patches is not None:
            self._from_patches(self._patches, given)
        done = 0
        while self.budget.lasts(ROUNDS_SHARE) and done != rounds and not self._settled:
            done += 1
            before = self._ascent.steps
            images, pixels = self._ascent.climb(*self._round_starts(), self.budget, ROUNDS_SHARE)
            self.climbed += self._starts * (self._ascent.steps > before)
            ends = self._ends(images, pixels)
            for end in ends:
                self._keep(end)
            until = min(1.0, self.budget.spent / self.budget.seconds + POLISH_SHARE)
            for end in sorted(ends, key=lambda end: -end.score)[:POLISHED]:
                self._polish(end, until)
        for candidate in list(self.best):
            if self._settled:
                return
            self._polish(candidate, 1.0)

    @property
    def improved(self) -> bool:
        """Whether anything better was found than what was known."""
        return self.best[0].score > self._known

    @property
    def patch(self) -> Patch | None:
        """The patch that moves the logits most, of all that were found."""
        if self._patches is None:
            return None
        best = self.best[0]
        own = self._patches.of_image(best.image, best.pixel)
        return max([own, *self._found[:1]], key=lambda patch: patch.change)

    @property
    def _settled(self) -> bool:
        patch = self.patch
        return patch is not None and self.best[0].score >= SETTLED * patch.limit

    def _from_patches(self, search: PatchSearch, given: Sequence[Patch]) -> None:
        """The best patches, each in images where its two classes balance."""
        known = [search.of_image(best.image, best.pixel) for best in self.best if best.score > 0]
        self._found = search.search(self._images, [*given, *known], PATCHES)
        ends = self._balance.steer(self._found, self._images, self.budget, BALANCE_SHARE)
        self.climbed += (search.climbed + len(ends[0])) * (search.steps > 0)
        for end in self._ends(*ends):
            self._keep(end)
        if not self._settled:
            self._polish(self.best[0], BALANCE_SHARE)

    def _ends(self, images: ByteArray, pixels: IntArray) -> list[Candidate]:
        changes = self._scorer.changes(images, pixels)
        return [Candidate.of(*end) for end in zip(images, pixels.tolist(), changes, strict=True)]

    def _polish(self, candidate: Candidate, until: float) -> None:
        for better in self._polisher.polish(candidate, self.budget, until):
            self._keep(better)
            if self._settled:
                return

    def _keep(self, candidate: Candidate) -> None:
        """Remember a pair, if it is among the best."""
        record = candidate.score > self.best[0].score
        by_pixel: dict[int, Candidate] = {}
        for other in sorted([*self.best, candidate], key=lambda c: -c.score):
            by_pixel.setdefault(other.pixel, other)
        self.best = list(by_pixel.values())[:KEPT]
        if record:
            place = candidate.position, candidate.class_index
            self._report(candidate.score, *place, self.budget.spent)

    def _round_starts(self) -> tuple[ByteArray, IntArray]:
        """Images, and pixels or -1 where ascent is to choose."""
        old = self._starts // 2 if self.best[0].score > 0 else 0
        images = fresh(self._random, self._starts - old, self._shape, self._images)
        pixels = np.full(len(images), -1)
        if not old:
            return images, pixels
        others, places = varied(self._random, old, self.best)
        return np.concatenate([images, others]), np.concatenate([pixels, places])
