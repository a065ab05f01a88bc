"""What follows at an image: of differences of logits, of probabilities, of the label.

Map: at-image
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lastbit_check.around.binary64 import F64, gamma, upper
from lastbit_check.around.linear import Prepared
from lastbit_check.around.steps import Step
from lastbit_check.around.walk import Walk

LONGEST = 2**16  # readers of one unit: more than any sum may have terms


@dataclass(frozen=True)
class Margins:
    """The label's logit less each other's (classes - 1,), in executions near references.

    On the image, and on each of its neighbours, they are within ``off`` of ``centres`` (classes -
    1, 1 + neighbours); where the input moves otherwise, within ``off`` + ``move``. ``rounding`` and
    ``bend`` are parts of ``off``.
    """

    label: int
    centres: F64
    off: F64
    move: F64
    rounding: F64
    bend: F64


def margins(prepared: Prepared, found: Walk) -> Margins:
    """By dual vectors through the slopes: each thing that is added is counted by its own.

    With any numbers lambda of the nodes, lambda of the logits being the difference that is asked
    for, it is the sum over all nodes of lambda^T (what is added there) plus (lambda - what the
    readers' lambdas make of it)^T D. The latter is what float64 loses of lambda.
    """
    network = prepared.network
    logits = found.near[network.logits].value
    label = int(np.argmax(logits))
    others = tuple(j for j in range(logits.size) if j != label)
    of_logits = np.zeros((logits.size, len(others)))
    of_logits[label] = 1.0
    of_logits[others, range(len(others))] = -1.0
    duals, missed = {network.logits: of_logits}, {network.logits: np.zeros(of_logits.shape)}
    total, rounding, bend = (np.zeros(len(others)) for _ in range(3))
    middle, middles = np.zeros(len(others)), np.zeros(len(others))
    for node in reversed(network.computed[1:]):
        if node.name not in duals:
            continue
        dual, miss = duals.pop(node.name), missed.pop(node.name)
        step, size = found.steps[node.name], np.abs(dual)
        moved, bent = _bent(step, dual)
        total += step.rest @ size + bent + found.near[node.name].radius @ miss
        rounding, bend, middle = rounding + step.noise @ size, bend + bent, middle + moved
        middles += np.abs(step.middle) @ size
        for part in step.parts:
            made, off = part.back @ dual, gamma(LONGEST) * (part.size_back @ size)
            duals[part.source] = duals.get(part.source, 0.0) + made
            missed[part.source] = missed.get(part.source, 0.0) + off
    name = network.input.name
    image = found.near[name]
    move = sum(block.along(duals[name]) for block in image.blocks.values()) + np.zeros(len(others))
    total += image.radius @ missed[name]
    apart = found.near[network.logits].apart
    each = np.concatenate([np.zeros((len(logits), 1)), apart], axis=1) + logits[:, None]
    centres = (each[label] - each[list(others)]) + middle[:, None]
    sizes = np.abs(each[label]).max() + np.abs(each[list(others)]).max(axis=1) + np.abs(middle)
    off = upper(total + 2.0**-30 * middles + 2.0**-50 * sizes)
    return Margins(label, centres, off, upper(move), rounding, bend)


def _bent(step: Step, dual: F64) -> tuple[F64, F64]:
    """lambda^T bend is within the second of the first: unit by unit, or of all of them together."""
    middle, each = step.middle @ dual, step.bend @ np.abs(dual)
    if step.together is None:
        return middle, each
    whole = np.sqrt(np.square(step.together.scale) @ np.square(dual))
    return np.where(whole < each, 0.0, middle), np.minimum(whole, each)
