"""Where a bound by norms comes from: what the input's change makes of it, and each rounding.

The norm of a node's change is at most the sum of those of its inputs, each times a gain, and of the
two runs' roundings there; where channels, units or places say less, all of that is less in
proportion. So a bound divides among the input and the roundings, from the logits back.
"""

from __future__ import annotations

from fractions import Fraction

from lastbit_check.norms.conclude import ByNorms


def divided_by_norms(known: ByNorms, executions: str) -> dict[str, Fraction]:
    """What each node adds to the bound of a difference of two logits; they add up to it.

    The input's part is what its change makes; that of any other node what is rounded there. Where
    several cells move, the links of their chain are taken in proportion.
    """
    network, moved = known.found.network, known.moved[executions]
    later = dict.fromkeys((node.name for node in network.computed), 0.0)
    most, found = known.worst[executions][0], dict[str, float]()
    later[network.logits] = 1.0
    for node in reversed(network.computed):
        size, own = (float(of[node.name].total[0]) for of in (moved.sizes, moved.rounded))
        if not node.inputs:
            found[node.name] = later[node.name] * size
            continue
        gains = known.found.steps[node.name].gains
        parts = [gain * float(moved.sizes[name].total[0])
                 for gain, name in zip(gains, node.inputs, strict=True)]  # fmt: skip
        share = later[node.name] * size / (sum(parts) + own) if size else 0.0
        found[node.name] = share * own
        for gain, name in zip(gains, node.inputs, strict=True):
            later[name] += share * gain
    parts = {name: Fraction(part) for name, part in found.items()}
    whole = sum(parts.values(), Fraction(0))
    return {name: part * most / whole if whole else part for name, part in parts.items()}
