"""Adam's steps upwards (Kingma and Ba, 2015), of gradients whose scale says nothing.

Not `torch.optim.Adam`, whose first use loads the compiler: seconds that a short search has not.
"""

import torch
from torch import Tensor

TINY = torch.finfo(torch.float32).tiny
BETAS = (0.8, 0.95)
EPSILON = 1e-8


class Adam:
    """Steps of one tensor (N, ...), whose gradient the caller has computed.

    Args:
        x: is changed in place, and requires its gradient.
    """

    def __init__(self, x: Tensor) -> None:
        self._x = x.requires_grad_()
        self._mean, self._square = torch.zeros_like(x), torch.zeros_like(x)
        self._count = 0

    def step(self, rate: float, free: Tensor | None = None) -> None:
        """One step of that size; the gradient is used up.

        Each row's gradient is scaled to 1 as its largest entry; what is no number counts as 0.

        Args:
            rate: how far a steady gradient moves an entry.
            free: 0 where nothing may move.
        """
        gradient = self._x.grad
        assert gradient is not None
        gradient = gradient.nan_to_num(0.0, 0.0, 0.0)
        if free is not None:
            gradient = gradient * free
        largest = gradient.flatten(1).abs().amax(1).clamp_min(TINY)
        gradient = gradient / largest.view(-1, *[1] * (gradient.ndim - 1))
        self._count += 1
        self._mean.lerp_(gradient, 1 - BETAS[0])
        self._square.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        bias, width = (1 - beta**self._count for beta in BETAS)
        spread = (self._square.sqrt() / width**0.5).add_(EPSILON)
        with torch.no_grad():
            self._x.addcdiv_(self._mean, spread, value=rate / bias)
        self._x.grad = None


def between(ends: tuple[float, float], done: float) -> float:
    """Geometric from the first end to the last, as `done` goes from 0 to 1."""
    return ends[0] * (ends[1] / ends[0]) ** done
