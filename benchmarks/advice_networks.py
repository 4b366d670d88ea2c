"""Networks of the tasks that learning rates are judged on: small, and of many kinds.

Each is a function of its sizes; weights come from PyTorch's own initialisation at the random
numbers of the moment.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def mlp(
    inputs: int,
    widths: tuple[int, ...],
    outputs: int,
    activation: type[nn.Module] = nn.ReLU,
    *,
    norm: bool = False,
    dropout: float = 0.0,
    gain: float = 1.0,
) -> nn.Module:
    """A perceptron; `gain` multiplies the initial weights of hidden layers, to spoil them."""
    layers: list[nn.Module] = [nn.Flatten()]
    for before, width in zip((inputs, *widths), widths, strict=False):
        linear = nn.Linear(before, width)
        with torch.no_grad():
            linear.weight.mul_(gain)
        layers += [linear, *([nn.LayerNorm(width)] if norm else []), activation()]
        layers += [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(*layers, nn.Linear(widths[-1], outputs))


def cnn(side: int, channels: tuple[int, ...], outputs: int, *, norm: bool = False) -> nn.Module:
    """Convolutions with bias on grey images, each but the first followed by pooling."""
    layers: list[nn.Module] = []
    for i, (before, width) in enumerate(zip((1, *channels), channels, strict=False)):
        layers += [nn.Conv2d(before, width, 3, padding=1)]
        layers += [*([nn.BatchNorm2d(width)] if norm else []), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if i else []
    left = side // 2 ** (len(channels) - 1)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels[-1] * left**2, outputs))


class Block(nn.Module):
    """Two convolutions with batch norm, added to their input."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        stride = 1 if before == width else 2
        self.body = nn.Sequential(
            nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width),
        )  # fmt: skip
        same = before == width
        self.skip = nn.Identity() if same else nn.Conv2d(before, width, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Maps of `width` channels."""
        return torch.relu(self.body(x) + self.skip(x))


def resnet(colours: int, widths: tuple[int, ...], outputs: int, *, stride: int) -> nn.Module:
    """A residual network with batch norm."""
    first = widths[0]
    stem = nn.Conv2d(colours, first, 3, stride, 1, bias=False)
    blocks = [Block(a, b) for a, b in zip((first, *widths), widths, strict=False)]
    return nn.Sequential(
        stem, nn.BatchNorm2d(first), nn.ReLU(), *blocks,
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], outputs),
    )  # fmt: skip


class Recurrent(nn.Module):
    """An LSTM or a GRU over symbols or over the rows of an image; its last state is read out."""

    def __init__(self, kind: Callable[..., nn.RNNBase], inputs: int, hidden: int, outputs: int,
                 symbols: int) -> None:  # fmt: skip
        super().__init__()
        self.embed = nn.Embedding(symbols, inputs) if symbols else nn.Flatten(1, 2)
        self.core = kind(inputs, hidden, batch_first=True)
        self.head = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the last state."""
        return self.head(self.core(self.embed(x))[0][:, -1])


def recurrent(
    kind: Callable[..., nn.RNNBase], inputs: int, hidden: int, outputs: int, symbols: int = 0
) -> nn.Module:
    """`Recurrent`, on symbols if their number is given and on grey images of one channel else."""
    return Recurrent(kind, inputs, hidden, outputs, symbols)


def blocks(width: int, depth: int, dropout: float) -> nn.Module:
    """Transformer blocks whose normalisation comes first."""
    layer = nn.TransformerEncoderLayer(
        width, 4, 4 * width, dropout, "gelu", batch_first=True, norm_first=True
    )
    # Layers of an encoder are copies of one: each gets weights of its own.
    body = nn.TransformerEncoder(layer, depth, nn.LayerNorm(width), enable_nested_tensor=False)
    for parameter in body.parameters():
        if parameter.ndim > 1:
            nn.init.xavier_uniform_(parameter)
    return body


class GPT(nn.Module):
    """A transformer that predicts each next symbol of a sequence."""

    def __init__(self, symbols: int, length: int, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.symbols, self.places = nn.Embedding(symbols, width), nn.Embedding(length, width)
        self.body, self.head = blocks(width, depth, dropout), nn.Linear(width, symbols)
        for embedding in (self.symbols, self.places):
            nn.init.normal_(embedding.weight, std=0.02)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(length))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of every next symbol."""
        embedded = self.symbols(x) + self.places.weight
        return self.head(self.body(embedded, mask=self.mask, is_causal=True))


def gpt(symbols: int, length: int, width: int, depth: int, dropout: float = 0.0) -> nn.Module:
    """`GPT` on sequences of one length: logits ``(n, length, symbols)``."""
    return GPT(symbols, length, width, depth, dropout)


class ViT(nn.Module):
    """A transformer on patches of a grey image, averaged at the end."""

    def __init__(self, side: int, patch: int, width: int, depth: int, outputs: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, patch, patch)
        self.places = nn.Parameter(0.02 * torch.randn((side // patch) ** 2, width))
        self.body, self.head = blocks(width, depth, 0.0), nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of every image."""
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.places
        return self.head(self.body(tokens).mean(1))


def vit(side: int, patch: int, width: int, depth: int, outputs: int) -> nn.Module:
    """`ViT`."""
    return ViT(side, patch, width, depth, outputs)
