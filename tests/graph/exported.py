"""Small networks as people write them in PyTorch, exported by PyTorch itself."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
nn: Any = torch.nn
F: Any = torch.nn.functional
Made = tuple[Any, tuple[int, ...]]
"""A module, and the sizes of an image."""


class Of(nn.Module):
    """A module that is a function of others."""

    def __init__(self, forward: Callable[..., Any], *parts: Any) -> None:
        super().__init__()
        self.function, self.parts = forward, nn.ModuleList(parts)

    def forward(self, x: Any) -> Any:
        return self.function(x, *self.parts)


def stem(channels: int, read: int = 1) -> Any:
    return nn.Sequential(nn.Conv2d(read, channels, 3, 2, 1), nn.BatchNorm2d(channels), nn.ReLU())


def head(channels: int) -> Any:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 5))


def lenet() -> Any:
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 6, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()),
        *(nn.Linear(24, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 5)),
    )


def mlp() -> Any:
    def forward(x: Any, a: Any, norm: Any, b: Any) -> Any:
        return b(torch.relu(norm(a(x.view(x.size(0), -1)))))

    return Of(forward, nn.Linear(144, 8), nn.BatchNorm1d(8), nn.Linear(8, 5))


def residual() -> Any:
    def forward(x: Any, a: Any, b: Any, skip: Any) -> Any:
        return F.relu(b(F.relu(a(x))) + skip(x))

    a, b = (nn.Conv2d(n, 6, 3, s, 1, bias=False) for n, s in ((4, 2), (6, 1)))
    a, b = (nn.Sequential(conv, nn.BatchNorm2d(6)) for conv in (a, b))
    return nn.Sequential(stem(4), Of(forward, a, b, nn.Conv2d(4, 6, 1, 2)), head(6))


def squeezed() -> Any:
    def forward(x: Any, a: Any, b: Any) -> Any:
        images, channels, _, _ = x.shape
        s = torch.sigmoid(b(F.silu(a(x.mean((2, 3))))))
        return x * s.view(images, channels, 1, 1).expand_as(x)

    return nn.Sequential(stem(4), Of(forward, nn.Linear(4, 2), nn.Linear(2, 4)), head(4))


def shuffled() -> Any:
    def forward(x: Any, conv: Any) -> Any:
        a, b = x.chunk(2, 1)
        x = torch.cat((a, conv(b)), 1)
        images, channels, high, wide = x.shape
        x = x.view(images, 2, channels // 2, high, wide).transpose(1, 2).contiguous()
        return x.view(images, channels, high, wide)

    return nn.Sequential(stem(4), Of(forward, nn.Conv2d(2, 2, 3, 1, 1, groups=2)), head(4))


def dense() -> Any:
    def forward(x: Any, norm: Any, conv: Any) -> Any:
        return torch.cat([x, conv(F.relu(norm(x)))], 1)

    block = Of(forward, nn.BatchNorm2d(4), nn.Conv2d(4, 2, 3, 1, 1))
    return nn.Sequential(stem(4), block, nn.AvgPool2d(2), head(6))


def mixed() -> Any:
    def forward(x: Any, patches: Any, across: Any, last: Any) -> Any:
        x = patches(x).flatten(2).transpose(1, 2)
        x = x + across(x.transpose(1, 2)).transpose(1, 2)
        return last(x.mean(1))

    across = nn.Sequential(nn.Linear(9, 4), nn.SiLU(), nn.Linear(4, 9))
    return Of(forward, nn.Conv2d(1, 4, 4, 4), across, nn.Linear(4, 5))


def pooled() -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, 2, padding=2, dilation=2),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        nn.ReflectionPad2d(1),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 5),
    )


def along_a_line() -> Any:
    def forward(x: Any, a: Any, pool: Any, b: Any) -> Any:
        return b(pool(F.relu(a(x.squeeze(1)))).amax(2))

    return Of(forward, nn.Conv1d(12, 4, 3, padding=1), nn.MaxPool1d(2), nn.Linear(4, 5))


def channels_last() -> Any:
    mean = torch.rand(3)
    return Of(
        lambda x, net: net((x - mean).permute(0, 3, 1, 2)), nn.Sequential(stem(4, 3), head(4))
    )


def without_a_mean_image() -> Any:
    mean = torch.rand(1, 12, 12)
    return Of(lambda x, net: F.log_softmax(net(x - mean), 1), lenet())


IMAGE, COLOURS = (1, 12, 12), (12, 12, 3)
MADE: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    **{f.__name__: (f, IMAGE) for f in (lenet, mlp, residual, squeezed, shuffled, dense, mixed)},
    **{f.__name__: (f, IMAGE) for f in (pooled, along_a_line, without_a_mean_image)},
    "channels_last": (channels_last, COLOURS),
    "label": (lambda: Of(lambda x, net: net(x).argmax(1), mlp()), IMAGE),
}


def export(name: str, path: Path, *, dynamo: bool, batch: int | None) -> Path:
    """Write one of them, of one image or of any number."""
    torch.manual_seed(0)
    make, sizes = MADE[name]
    module = make().eval()
    for norm in module.modules():
        if isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d)):
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.5, 1.5)
    image, named = torch.rand(batch or 2, *sizes), {"input_names": ["x"], "output_names": ["y"]}
    free: dict[str, Any] = {}
    if batch is None and dynamo:
        free = {"dynamic_shapes": ({0: torch.export.Dim("batch")},)}
    elif batch is None:
        free = {"dynamic_axes": {"x": {0: "N"}, "y": {0: "N"}}}
    if dynamo:
        free |= {"external_data": False, "verbose": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (image,), path, dynamo=dynamo, **named, **free)
    return path
