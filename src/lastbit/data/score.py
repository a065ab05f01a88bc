"""How good probabilities are against the true classes."""

import numpy as np
from numpy.typing import NDArray


def score(probabilities: NDArray[np.float32], labels: NDArray[np.integer]) -> tuple[float, float]:
    """Accuracy (fraction) and mean negative log-likelihood (nats) of probabilities (N, classes).

    The logarithm is of the float32 probability as it is; where one of them is 0 the likelihood is
    infinite.
    """
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    with np.errstate(divide="ignore"):
        nll = -np.log(chosen).mean()
    return float((probabilities.argmax(axis=1) == labels).mean()), float(nll)
