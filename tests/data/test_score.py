"""Accuracy and likelihood, as `prove` and `train` state them."""

import math

import numpy as np
import pytest

from lastbit.data import score


def test_the_score_of_known_probabilities() -> None:
    probabilities = np.array([[0.25, 0.75], [0.5, 0.5], [0.875, 0.125]], np.float32)
    accuracy, nll = score(probabilities, np.array([1, 0, 1], np.uint8))
    assert accuracy == pytest.approx(2 / 3)
    assert nll == pytest.approx(-(math.log(0.75) + math.log(0.5) + math.log(0.125)) / 3)


def test_a_true_class_of_probability_0_is_infinitely_unlikely() -> None:
    assert score(np.array([[0.0, 1.0]], np.float32), np.array([0], np.uint8)) == (0.0, math.inf)
