"""Small networks with batch normalisation whose limits are compared with real steps.

Eight to develop on, and six kept aside, of other shapes, data and optimizers. Each is built with a
bias before every normalisation or without, and is measured after some steps of its own training.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

import torch
from sklearn.datasets import load_diabetes, load_digits
from torch import Tensor, nn, optim
from torch.nn import functional as F

Data = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Case:
    """A network, its data, its loss and its optimizer.

    Attributes:
        warm: Steps before it is measured: of an adaptive optimizer at the rate it is made with, of
            the others at a tenth of their limit at the start.
        kept_aside: Whether it is one to judge on.
    """

    name: str
    build: Callable[[bool], nn.Module]
    data: Callable[[], Data]
    loss: Callable[[Tensor, Tensor], Tensor]
    optimizer: Callable[[Iterable[Tensor]], optim.Optimizer]
    warm: int = 20
    kept_aside: bool = False


def digits(first: int = 0, n: int = 64) -> Data:
    found = load_digits()
    order = torch.randperm(len(found.target), generator=torch.Generator().manual_seed(0))
    chosen = order[first : first + n]
    x, y = torch.tensor(found.images).float(), torch.tensor(found.target)
    return x[chosen, None] / 8 - 1, y[chosen]


def noisy_digits() -> Data:
    """Digits under noise, and where their ink is."""
    x, _ = digits()
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    return x + 0.7 * noise, (x > 0).float()


def shapes(n: int = 96) -> tuple[Tensor, Tensor, Tensor]:
    """Discs, squares and crosses in images of 16 × 16 under noise, which it is, and where."""
    draw = torch.Generator().manual_seed(2)
    kind = torch.randint(3, (n,), generator=draw)
    at = 4 + 8 * torch.rand(n, 2, 1, 1, generator=draw)
    size = (2 + 2.5 * torch.rand(n, generator=draw))[:, None, None]
    axis = torch.arange(16.0)
    down, across = (axis[:, None] - at[:, 0]).abs(), (axis - at[:, 1]).abs()
    filled = torch.stack([
        down.square() + across.square() < size.square(),
        torch.maximum(down, across) < 0.9 * size,
        (torch.minimum(down, across) < 1) & (torch.maximum(down, across) < size),
    ], 1)  # fmt: skip
    mask = filled[torch.arange(n), kind][:, None].float()
    return mask + 0.4 * torch.randn(mask.shape, generator=draw), kind, mask


def shape_kinds() -> Data:
    x, kind, _ = shapes()
    return x, kind


def shape_masks() -> Data:
    x, _, mask = shapes(32)
    return x, mask


def diabetes() -> Data:
    x, y = load_diabetes(return_X_y=True)
    x, y = torch.tensor(x[:128]).float(), torch.tensor(y[:128]).float()
    return (x - x.mean(0)) / x.std(0), ((y - y.mean()) / y.std())[:, None]


def waves() -> Data:
    """Sines, saws, steps and noise of 32 samples each, at any frequency and phase."""
    draw = torch.Generator().manual_seed(3)
    kind = torch.randint(4, (80,), generator=draw)
    pace, phase = 1 + 2 * torch.rand(80, 1, generator=draw), torch.rand(80, 1, generator=draw)
    t = pace * torch.linspace(0, 1, 32) + phase
    noise = torch.randn(80, 32, generator=draw)
    every = torch.stack(
        [(2 * torch.pi * t).sin(), 2 * (t % 1) - 1, ((t % 1) > 0.5) * 2.0 - 1, noise]
    )
    return (every[kind, torch.arange(80)] + 0.3 * noise)[:, None], kind


def conv(before: int, after: int, size: int, bias: bool, act=nn.ReLU, **options) -> nn.Sequential:
    """A convolution, its normalisation and its activation."""
    options.setdefault("padding", size // 2)
    layer = nn.Conv2d(before, after, size, bias=bias, **options)
    return nn.Sequential(layer, nn.BatchNorm2d(after), act())


def plain_cnn(bias: bool) -> nn.Module:
    return nn.Sequential(
        conv(1, 16, 3, bias), conv(16, 32, 3, bias), nn.MaxPool2d(2), conv(32, 32, 3, bias),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip


def strided_cnn(bias: bool) -> nn.Module:
    return nn.Sequential(
        conv(1, 8, 5, bias, nn.GELU), conv(8, 20, 3, bias, nn.GELU, stride=2),
        conv(20, 40, 3, bias, nn.GELU, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(40, 3),
    )  # fmt: skip


class Residual(nn.Module):
    """Two convolutions with their normalisations beside a shortcut."""

    def __init__(self, before: int, after: int, stride: int, bias: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(before, after, 3, bias, stride=stride), conv(after, after, 3, bias, nn.Identity)
        )
        same = before == after and stride == 1
        self.beside = (
            nn.Identity() if same else conv(before, after, 1, bias, nn.Identity, stride=stride)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Both ways, cut off below 0."""
        return F.relu(self.body(x) + self.beside(x))


def residual(widths: tuple[int, ...], classes: int) -> Callable[[bool], nn.Module]:
    def build(bias: bool) -> nn.Module:
        pairs = zip((widths[0], *widths), widths, strict=False)
        blocks = [Residual(a, b, 1 + (a != b), bias) for a, b in pairs]
        pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return nn.Sequential(
            conv(1, widths[0], 3, bias), *blocks, pooled, nn.Linear(widths[-1], classes)
        )

    return build


class UNet(nn.Module):
    """Down, and up again with what was there on the way; one logit per place."""

    def __init__(self, widths: tuple[int, ...], bias: bool) -> None:
        super().__init__()
        pairs = list(pairwise(widths))
        twice = [(1, widths[0]), *pairs]
        self.down = nn.ModuleList(
            nn.Sequential(conv(a, b, 3, bias), conv(b, b, 3, bias)) for a, b in twice
        )
        self.wider = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in reversed(pairs))
        self.up = nn.ModuleList(
            nn.Sequential(conv(2 * a, a, 3, bias), conv(a, a, 3, bias)) for a, _ in reversed(pairs)
        )
        self.out = nn.Conv2d(widths[0], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits in the shape of the image."""
        passed = [self.down[0](x)]
        for part in self.down[1:]:
            passed.append(part(F.max_pool2d(passed[-1], 2)))
        x = passed.pop()
        for wider, part in zip(self.wider, self.up, strict=True):
            x = part(torch.cat([passed.pop(), wider(x)], 1))
        return self.out(x)


def u_net(*widths: int) -> Callable[[bool], nn.Module]:
    return lambda bias: UNet(widths, bias)


def tanh_mlp(bias: bool) -> nn.Module:
    def layer(before: int) -> nn.Module:
        return nn.Sequential(nn.Linear(before, 100, bias=bias), nn.BatchNorm1d(100), nn.Tanh())

    return nn.Sequential(nn.Flatten(), layer(64), layer(100), nn.Linear(100, 10))


def small_mlp(bias: bool) -> nn.Module:
    def layer(before: int) -> nn.Module:
        return nn.Sequential(nn.Linear(before, 48, bias=bias), nn.BatchNorm1d(48), nn.ReLU())

    return nn.Sequential(layer(10), layer(48), layer(48), nn.Linear(48, 1))


class OwnNorm(nn.Module):
    """Batch normalisation as one writes it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain, self.shift = (
            nn.Parameter(torch.full((width, 1, 1), value)) for value in (1.0, 0.0)
        )

    def forward(self, x: Tensor) -> Tensor:
        """In units of the batch's own spread."""
        mean, spread = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, correction=0)
        return (x - mean) / (spread + 1e-5).sqrt() * self.gain + self.shift


def own_norm(bias: bool) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, bias=bias), OwnNorm(12), nn.GELU(),
        nn.Conv2d(12, 24, 3, bias=bias), OwnNorm(24), nn.GELU(), nn.Flatten(), nn.Linear(384, 10),
    )  # fmt: skip


def depthwise(bias: bool) -> nn.Module:
    def separable(before: int, after: int) -> nn.Module:
        return nn.Sequential(
            conv(before, before, 3, bias, nn.ReLU6, groups=before),
            conv(before, after, 1, bias, nn.ReLU6),
        )

    return nn.Sequential(
        conv(1, 16, 3, bias, nn.ReLU6), separable(16, 32), nn.MaxPool2d(2), separable(32, 32),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip


class Inverted(nn.Module):
    """Wider, each channel by itself, narrower again, and what came is added."""

    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(width, 3 * width, 1, bias, nn.SiLU),
            conv(3 * width, 3 * width, 3, bias, nn.SiLU, groups=3 * width),
            conv(3 * width, width, 1, bias, nn.Identity),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The input and what the body makes of it."""
        return x + self.body(x)


def inverted(bias: bool) -> nn.Module:
    return nn.Sequential(
        conv(1, 12, 3, bias, nn.SiLU), Inverted(12, bias), nn.AvgPool2d(2), Inverted(12, bias),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(48, 10),
    )  # fmt: skip


class Growing(nn.Module):
    """What came, and more channels beside it."""

    def __init__(self, before: int, more: int, bias: bool) -> None:
        super().__init__()
        self.body = conv(before, more, 3, bias)

    def forward(self, x: Tensor) -> Tensor:
        """More channels than came."""
        return torch.cat([x, self.body(x)], 1)


def dense(bias: bool) -> nn.Module:
    return nn.Sequential(
        conv(1, 8, 3, bias), Growing(8, 8, bias), Growing(16, 8, bias), nn.MaxPool2d(2),
        Growing(24, 8, bias), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip


def over_time(bias: bool) -> nn.Module:
    def layer(before: int, after: int) -> nn.Module:
        into = nn.Conv1d(before, after, 5, stride=2, padding=2, bias=bias)
        return nn.Sequential(into, nn.BatchNorm1d(after), nn.LeakyReLU(0.1))

    return nn.Sequential(
        layer(1, 12), layer(12, 24), layer(24, 24), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
        nn.Linear(24, 4),
    )  # fmt: skip


CE, BCE, SMOOTHED = (
    nn.CrossEntropyLoss(),
    nn.BCEWithLogitsLoss(),
    nn.CrossEntropyLoss(label_smoothing=0.1),
)
CASES = (
    Case("CNN, Adam", plain_cnn, digits, CE, lambda p: optim.Adam(p, lr=1e-3)),
    Case("U-Net, Adam", u_net(8, 16), noisy_digits, BCE, lambda p: optim.Adam(p, lr=1e-3)),
    Case(
        "U-Net, momentum", u_net(8, 16), noisy_digits, BCE,
        lambda p: optim.SGD(p, lr=1e-3, momentum=0.9),
    ),
    Case(
        "ResNet, SGD", residual((16, 16, 32, 32), 10), digits, CE,
        lambda p: optim.SGD(p, lr=1e-3),
    ),
    Case("MLP, momentum", tanh_mlp, digits, CE, lambda p: optim.SGD(p, lr=1e-3, momentum=0.9)),
    Case(
        "own norm, Nesterov", own_norm, digits, CE,
        lambda p: optim.SGD(p, lr=1e-3, momentum=0.9, nesterov=True),
    ),
    Case("depthwise, RMSprop", depthwise, digits, CE, lambda p: optim.RMSprop(p, lr=1e-3)),
    Case("dense blocks, AdamW", dense, digits, CE, lambda p: optim.AdamW(p, lr=1e-3)),
    Case(
        "strided CNN, Adam", strided_cnn, shape_kinds, SMOOTHED,
        lambda p: optim.Adam(p, lr=2e-3, betas=(0.9, 0.99)), 30, kept_aside=True,
    ),
    Case(
        "deeper U-Net, AdamW", u_net(6, 12, 18), shape_masks, BCE,
        lambda p: optim.AdamW(p, lr=2e-3, weight_decay=0.05), 25, kept_aside=True,
    ),
    Case(
        "wider ResNet, SGD", residual((12, 12, 24, 48), 10), lambda: digits(300, 96), CE,
        lambda p: optim.SGD(p, lr=1e-3, weight_decay=5e-4), 40, kept_aside=True,
    ),
    Case(
        "MLP for regression, momentum", small_mlp, diabetes, nn.MSELoss(),
        lambda p: optim.SGD(p, lr=1e-3, momentum=0.8), 0, kept_aside=True,
    ),
    Case(
        "inverted residuals, NAdam", inverted, lambda: digits(500, 80), CE,
        lambda p: optim.NAdam(p, lr=2e-3), 15, kept_aside=True,
    ),
    Case(
        "convolution in time, Nesterov", over_time, waves, CE,
        lambda p: optim.SGD(p, lr=1e-3, momentum=0.95, nesterov=True), 30, kept_aside=True,
    ),
)  # fmt: skip
