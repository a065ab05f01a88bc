"""The rounds of a search.

In each round: ascent from many images at once, then exact coordinate search from the best result.
Half of the starts are fresh, half are variations on the best pairs so far. The last part of the
time goes into coordinate search from the best pairs.
"""

import numpy as np

from lastbit.graph import ByteArray, Network
from lastbit.witness.ascent import Ascent
from lastbit.witness.budget import Budget, Report
from lastbit.witness.files import Witness
from lastbit.witness.polish import Polisher
from lastbit.witness.pruning import prune
from lastbit.witness.scoring import Candidate, IntArray, Scorer
from lastbit.witness.starts import fresh, varied

KEPT = 8
"""The best pairs that are remembered, each with another pixel."""
POLISHED = 2
"""How many results of each round go into coordinate search."""
ROUNDS_SHARE = 0.8
"""The share of the time for rounds."""
POLISH_SHARE = 0.03
"""The share of the time for coordinate search in each round."""


class Rounds:
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
        climbed: how many images were climbed from.
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
        self._scorer = Scorer(network)
        self._ascent = Ascent(network, self._random)
        self._polisher = Polisher(network, self._scorer, self._random)
        self.best = [self._scorer.candidate(np.zeros(self._shape, np.uint8), 0)]

    def run(self, known: Witness | None, rounds: int | None) -> None:
        """Search, from `known` as well, until the time is up or so many rounds are done."""
        if known is not None and known.image.shape == self._shape:
            row, col = known.pixel
            self._keep(self._scorer.candidate(known.image, row * self._shape[1] + col))
        done = 0
        while self.budget.lasts(ROUNDS_SHARE) and done != rounds:
            done += 1
            images, pixels = self._ascent.climb(*self._round_starts(), self.budget, ROUNDS_SHARE)
            self.climbed += self._starts
            changes = self._scorer.changes(images, pixels)
            ends = [
                Candidate.of(*end) for end in zip(images, pixels.tolist(), changes, strict=True)
            ]
            for end in ends:
                self._keep(end)
            until = min(1.0, self.budget.spent / self.budget.seconds + POLISH_SHARE)
            for end in sorted(ends, key=lambda end: -end.score)[:POLISHED]:
                self._polish(end, until)
        for candidate in list(self.best):
            self._polish(candidate, 1.0)

    def _polish(self, candidate: Candidate, until: float) -> None:
        for better in self._polisher.polish(candidate, self.budget, until):
            self._keep(better)

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
