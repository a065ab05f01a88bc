"""Layers whose Euclidean gain is at most 1, whatever is learned.

Pointwise weights are blocks with orthonormal rows or columns, depthwise kernels are divided by the
largest modulus of their transform, the stem by the largest column of one pixel, the classifier by
the largest difference of two rows. SiLU is divided by its largest slope.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

SILU_SLOPE = 1.09984
"""Above the largest slope of SiLU, 1.0998393 at 2.3994."""
MOMENTUM = 0.02
"""Of the running means and deviations."""
WATCHED = 3000
"""Numbers of a channel from which its deviation is taken."""
LEAST_DEVIATION = 0.03
"""A channel's deviation counts as at least this share of its layer's."""


def orthonormal(raw: Tensor, steps: int = 2) -> Tensor:
    """The nearest matrices with orthonormal columns, for (..., M, N) that nearly have them, M >= N.

    Newton and Schulz's iteration; rows and columns of zeros stay zeros.
    """
    for _ in range(steps):
        raw = 1.5 * raw - 0.5 * (raw @ (raw.mT @ raw))
    return raw


@torch.no_grad()
def nearest(raw: Tensor) -> Tensor:
    """The same of any matrices, by their singular values; those that are 0 stay 0."""
    wide = raw.double()
    u, s, vh = torch.linalg.svd(wide, full_matrices=False)
    kept = (s > 1e-6 * s.amax(-1, keepdim=True)).double()
    return ((u * kept[..., None, :]) @ vh).to(raw.dtype)


class Blocks(nn.Module):
    """A weight matrix (O, I) of blocks on disjoint rows and columns, each with gain exactly 1.

    Args:
        rows: for each block the rows that it fills.
        columns: for each block the columns; with fewer rows than columns, or as many, the rows are
            orthonormal, otherwise the columns.
        start: (O, I), the first weights; the nearest ones of gain 1 are taken.
    """

    row: Tensor
    column: Tensor
    place: Tensor

    def __init__(self, rows: list[Tensor], columns: list[Tensor], start: Tensor) -> None:
        super().__init__()
        self.shape = start.shape
        self.wide = len(rows[0]) < len(columns[0])
        high, across = (max(len(part) for part in parts) for parts in (rows, columns))
        raw = start.new_zeros(len(rows), high, across)
        row, column, place = [], [], []
        for number, (r, c) in enumerate(zip(rows, columns, strict=True)):
            raw[number, : len(r), : len(c)] = start[r][:, c]
            row.append(r.repeat_interleave(len(c)))
            column.append(c.repeat(len(r)))
            grid = torch.arange(len(r))[:, None] * across + torch.arange(len(c))
            place.append(number * high * across + grid.flatten())
        for name, parts in (("row", row), ("column", column), ("place", place)):
            self.register_buffer(name, torch.cat(parts), persistent=False)
        self.raw = nn.Parameter(nearest(raw))

    def blocks(self, steps: int = 1) -> Tensor:
        raw = self.raw.mT if self.wide else self.raw
        made = orthonormal(raw, steps)
        return made.mT if self.wide else made

    @torch.no_grad()
    def settle(self) -> None:
        """Replace what is learned by what is used: the next step starts from gain 1."""
        self.raw.copy_(self.blocks(3))

    def forward(self) -> Tensor:
        weight = self.raw.new_zeros(self.shape)
        return weight.index_put((self.row, self.column), self.blocks().flatten()[self.place])


class Depthwise(nn.Module):
    """Kernels (C, 1, k, k) over images of `side` x `side`, divided by their largest gain.

    That of one kernel is at most the largest modulus of its transform on as many points as keep
    the image from meeting itself around the edge; with stride 2, of its four phases together.
    Places of a kernel that meet only the padding are 0.
    """

    reached: Tensor
    basis: Tensor

    def __init__(self, channels: int, kernel: int, stride: int, side: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.raw = nn.Parameter(torch.zeros(channels, 1, kernel, kernel))
        line = reached(kernel, stride, side)
        met = line.nonzero()[:, 0]
        self.part = slice(int(met[0]), int(met[-1]) + 1)
        self.padding = kernel // 2 - self.part.start
        self.register_buffer("reached", line[:, None] * line[None, :], persistent=False)
        self.register_buffer("basis", phases(kernel, stride, side), persistent=False)

    def spectrum(self) -> Tensor:
        """(C, frequencies): squared moduli, those of the phases added up."""
        kernels = (self.raw[:, 0] * self.reached).flatten(1)
        parts = torch.einsum("ck,pkf->pcf", kernels, self.basis)
        return parts.square().sum(0)

    def forward(self) -> tuple[Tensor, Tensor]:
        """The kernels, and how far each is from passing all frequencies alike: log of a ratio.

        Only the `part` of the kernels that meets pixels; `padding` is what that takes.
        """
        spectrum = self.spectrum()
        largest = spectrum.amax(1)
        kernels = self.raw[:, :, self.part, self.part] / largest.sqrt()[:, None, None, None]
        return kernels, 0.5 * torch.log(largest / spectrum.mean(1))


def reached(kernel: int, stride: int, side: int) -> Tensor:
    """(k,): 1 where a place of the kernel meets a pixel at some step, else 0."""
    steps = torch.arange(-(-side // stride)) * stride - kernel // 2
    met = steps[:, None] + torch.arange(kernel)
    return ((met >= 0) & (met < side)).any(0).float()


def phases(kernel: int, stride: int, side: int) -> Tensor:
    """(2 stride^2, k^2, frequencies): real and imaginary parts of each phase's transform."""
    taps = -(-kernel // stride)
    points = -(-side // stride) + taps - 1
    place = torch.arange(kernel)
    angle = 2 * math.pi / points * (place // stride)[:, None] * torch.arange(points)[None]
    found = []
    for p in range(stride):
        for q in range(stride):
            mine = ((place % stride == p)[:, None] & (place % stride == q)[None]).flatten()
            both = angle[:, None, :, None] + angle[None, :, None, :]
            half = both[..., : points // 2 + 1].flatten(2).flatten(0, 1)
            found += [torch.cos(half) * mine[:, None], -torch.sin(half) * mine[:, None]]
    return torch.stack(found)


class Centred(nn.Module):
    """A layer's sum less its mean by channel, which is all that is left of batch norm.

    In training the mean is that of the batch; the running one is for the result.
    """

    mean: Tensor
    seen: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def pointwise(self, h: Tensor, weight: Tensor) -> Tensor:
        """(O, C) times h, centred. The mean of a linear layer is that of the mean."""
        mean = weight @ h.mean((0, 2, 3)) if self.training else self.mean
        if self.training:
            self._note(mean)
        return pointwise(h, weight, -mean)

    @torch.no_grad()
    def _note(self, mean: Tensor) -> float:
        self.seen += 1
        share = max(MOMENTUM, 1 / int(self.seen))
        self.mean.lerp_(mean, share)
        return share


class Curve(Centred):
    """SiLU where it bends: silu(d z / s + m + b) s / (1.09984 d), with slopes in [-0.1, 1].

    z has its mean taken off; s is its deviation, by channel. Both run along during training. The
    last factor, `after`, is left to the weights that read the result.

    Attributes:
        bias: (C,) what is learned of the place at which SiLU is read.
        holding: whether the deviations run along.
        uneven: of the last forward pass in training: how far channels are below a tenth of their
            layer's variance, in logarithms.
    """

    deviation: Tensor

    def __init__(self, channels: int, reach: float, middle: float) -> None:
        super().__init__(channels)
        self.reach, self.middle = reach, middle
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))
        self.holding = True
        self.used: Tensor | None = None
        self.uneven: Tensor | None = None

    def held(self) -> Tensor:
        """(C,): the layer's deviation, for each channel."""
        return self.deviation.square().mean().sqrt().expand(len(self.deviation))

    def before(self) -> Tensor:
        """(C,): d / s, by which what SiLU reads is multiplied."""
        self.used = self.held()
        return self.reach / self.used

    def after(self) -> Tensor:
        """(C,): s / (1.09984 d), by which what it returned is multiplied."""
        assert self.used is not None
        return self.used / (self.reach * SILU_SLOPE)

    def shift(self) -> Tensor:
        return self.middle + self.bias

    def pointwise(self, h: Tensor, weight: Tensor) -> Tensor:
        """SiLU behind (O, C) times h; without `after`."""
        if self.training and not self.seen:
            self._begin(pointwise(h, weight, 0 * self.mean))
        before = self.before()
        mean = weight @ h.mean((0, 2, 3)) if self.training else self.mean
        y = pointwise(h, weight * before[:, None], self.shift() - before * mean)
        if self.training:
            self._watch(y, mean, before)
        return functional.silu(y)

    def kernels(self, h: Tensor, kernels: Tensor, stride: int, padding: int) -> Tensor:
        """SiLU behind kernels (C, 1, k, k), each over its channel of h or over the only one."""
        if self.training and not self.seen:
            groups = h.shape[1]
            self._begin(functional.conv2d(h, kernels, None, stride, padding, groups=groups))
        before = self.before()
        weight = kernels * before[:, None, None, None]
        bias = None if self.training else self.shift() - before * self.mean
        if h.shape[2:] == weight.shape[2:] == (1, 1):
            y = h * weight[:, 0] if bias is None else h * weight[:, 0] + bias[:, None, None]
        else:
            y = functional.conv2d(h, weight, bias, stride, padding, groups=h.shape[1])
        if bias is None:
            mean = y.mean((0, 2, 3))
            y = y + (self.shift() - mean)[:, None, None]
            self._watch(y, mean / before, before)
        return functional.silu(y)

    def _begin(self, z: Tensor) -> None:
        """Before the first step: the deviations of its batch."""
        self.deviation.copy_(z.detach().transpose(0, 1).flatten(1).std(1, correction=0))

    def _watch(self, y: Tensor, mean: Tensor, before: Tensor) -> None:
        """Take note of the means, and of the deviations of as many images as tell them."""
        part = y[: max(16, WATCHED // y[0, 0].numel())]
        variance = (part - self.shift()[:, None, None]).square().mean((0, 2, 3)) / before.square()
        below = 0.1 * variance.detach().mean() / (variance + 1e-12)
        self.uneven = functional.relu(torch.log(below)).mean()
        share = self._note(mean)
        if self.holding:
            with torch.no_grad():
                self.deviation.lerp_(variance.sqrt(), share)


def pointwise(h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(O, C) times h (N, C, H, W), and bias (O,)."""
    if h.shape[2:] == (1, 1):
        return functional.linear(h[..., 0, 0], weight, bias)[..., None, None]
    return functional.conv2d(h, weight[..., None, None], bias)


class SqueezeExcite(nn.Module):
    """x times sigmoid(base + k e), over sigmoid(base); k holds the gates' deviation where it may.

    Attributes:
        faint: of the last forward pass in training: minus the log of the deviation of e.
    """

    strength: Tensor

    def __init__(
        self, channels: int, squeezed: int, base: float, wanted: float, curve: Curve
    ) -> None:
        super().__init__()
        self.base, self.wanted, self.curve = base, wanted, curve
        self.reduce = nn.Parameter(nearest(torch.randn(squeezed, channels)))
        self.expand = nn.Parameter(nearest(torch.randn(channels, squeezed)))
        self.centred = Centred(channels)
        self.register_buffer("strength", torch.zeros(()))
        self.faint: Tensor | None = None

    def weights(self) -> tuple[Tensor, Tensor]:
        """(S, C) with orthonormal rows and (C, S) with orthonormal columns."""
        return orthonormal(self.reduce.mT).mT, orthonormal(self.expand)

    @torch.no_grad()
    def settle(self) -> None:
        self.reduce.copy_(orthonormal(self.reduce.mT, 3).mT)
        self.expand.copy_(orthonormal(self.expand, 3))

    def forward(self, h: Tensor, factor: Tensor, most: float) -> Tensor:
        """The gates (N, C, 1, 1) of a value h (N, C, H, W) times factor (C,); k is below `most`."""
        reduce, expand = self.weights()
        e = self.curve.pointwise(h.mean((2, 3), keepdim=True), reduce * factor)
        e = self.centred.pointwise(e, expand * self.curve.after())
        if self.training:
            deviation = e.square().mean().sqrt() + 1e-12
            self.faint = -torch.log(deviation)
            if self.curve.holding:
                with torch.no_grad():
                    share = max(MOMENTUM, 1 / int(self.centred.seen))
                    wanted = self.wanted / (self.steepness * deviation)
                    self.strength.lerp_(wanted.clamp(max=most), share)
        return torch.sigmoid(self.base + self.strength * e) / self.top

    @property
    def top(self) -> float:
        """What the gates are around."""
        return 1 / (1 + math.exp(-self.base))

    @property
    def steepness(self) -> float:
        return self.top * (1 - self.top)
