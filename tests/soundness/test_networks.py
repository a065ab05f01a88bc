"""No execution of any network leaves what was derived for it.

Networks of every operator, ordinary and adversarial; hints as chosen and hints at random; images
at random and images climbed for; as the graph is written and rewritten, in every summation order
and random trees, flush-to-zero, batch norm folded or not, sigmoids at the edge of what is assumed;
the two images run by one program, or by two.
"""

from pathlib import Path

import pytest

from lastbit.hints import hints_for
from lastbit_check.check import network_in
from soundness.harness import NearlyLinear, assault, built, random_hints, subject_of
from soundness.known import with_base
from support.networks import RandomNetwork
from support.seeds import seeds


@pytest.mark.parametrize("seed", seeds(8, 24))
@pytest.mark.parametrize("adversarial", [False, True])
def test_a_random_network(tmp_path: Path, seed: int, adversarial: bool) -> None:
    model, network = built(RandomNetwork(seed, adversarial=adversarial).b, tmp_path)
    assault(subject_of(model, network), seed)


@pytest.mark.parametrize("seed", seeds(12, 30))
def test_hints_at_random(tmp_path: Path, seed: int) -> None:
    kind = NearlyLinear if seed % 2 else RandomNetwork
    model, network = built(kind(seed, adversarial=seed % 4 > 1).b, tmp_path)
    assault(subject_of(model, network, random_hints(network_in(model), seed)), seed)


@pytest.mark.parametrize("seed", seeds(8, 24))
def test_ranges_that_follow_a_base(tmp_path: Path, seed: int) -> None:
    model, network, hints = with_base(tmp_path, seed)
    assault(subject_of(model, network, hints), seed)


def test_most_near_linear_networks_have_a_base(tmp_path: Path) -> None:
    networks = [
        built(NearlyLinear(seed, adversarial=seed % 3 == 0).b, tmp_path)[1] for seed in range(12)
    ]
    assert sum(bool(hints_for(network).bases) for network in networks) > 6
