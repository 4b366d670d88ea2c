"""Fifteen small trainings that loss spikes are put into: five networks, three ways to train each.

The third way of each network is kept aside: rules are made on the other two.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import torch
from advice_data import examples, next_symbol, next_symbols
from advice_networks import cnn, gpt, mlp, recurrent, resnet, vit
from advice_trained import LENGTH, SYMBOLS, symbol_loss
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.optim import SGD, Adam, AdamW, Optimizer

HEAVY_BALL = partial(SGD, momentum=0.9)
# Steps of training before a run is watched.
TRAINED = 100


@dataclass(frozen=True)
class Setting:
    """One way to train a network.

    Attributes:
        name: Of the network and what is different.
        network: Which of the five.
        model: Draws its weights.
        data: Tensors (x, y).
        loss: Of outputs and targets.
        optimizer: Of groups of parameters and a rate.
        rate: A sound one.
        batch: Examples in a batch.
        kept_aside: Whether rules are judged on it, once.
    """

    name: str
    network: str
    model: Callable[[], nn.Module]
    data: Callable[[], tuple[Tensor, Tensor]]
    loss: Callable[[Tensor, Tensor], Tensor]
    optimizer: Callable[..., Optimizer]
    rate: float
    batch: int
    kept_aside: bool = False

    @property
    def adaptive(self) -> bool:
        """Whether it divides by second moments."""
        return getattr(self.optimizer, "func", self.optimizer) is not SGD

    def missing(self) -> str | None:
        """Why its data cannot be had here; `None` if they can."""
        try:
            self.data()
        except (FileNotFoundError, ValueError) as error:
            return str(error).splitlines()[0]
        return None

    def start(self, seed: int) -> nn.Module:
        """The network with new weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.model().train()

    def groups(self, model: nn.Module, apart: str) -> list[dict]:
        """Parameters of the optimizer: one layer apart from the rest, both with names."""
        own = [p for name, p in model.named_parameters() if layer_of(name) == apart]
        rest = [p for name, p in model.named_parameters() if layer_of(name) != apart]
        return [{"params": rest, "name": "rest"}, {"params": own, "name": "apart"}]

    def order(self, seed: int, step: int) -> Tensor:
        """Which examples a step takes."""
        n = len(self.data()[1])
        draw = torch.Generator().manual_seed(1_000_003 * seed + step)
        return torch.randint(0, n, (self.batch,), generator=draw)


def layer_of(name: str) -> str:
    """The module that a parameter belongs to."""
    return name.rpartition(".")[0] or name


def layers(model: nn.Module) -> list[str]:
    """Modules with weights, in order."""
    names = (layer_of(name) for name, p in model.named_parameters() if p.ndim > 1)
    return list(dict.fromkeys(names))


@cache
def trained(setting: Setting, seed: int) -> tuple[dict, dict]:
    """States of model and optimizer after some steps at the sound rate."""
    model = setting.start(seed)
    groups = setting.groups(model, apart_in(model, seed))
    optimizer = setting.optimizer(groups, lr=setting.rate)
    x, y = setting.data()
    for step in range(TRAINED):
        rows = setting.order(seed, step)
        optimizer.zero_grad()
        setting.loss(model(x[rows]), y[rows]).backward()
        optimizer.step()
    return model.state_dict(), optimizer.state_dict()


def apart_in(model: nn.Module, seed: int) -> str:
    """The layer with a group, or a fault, of its own: the first, the last, one in the middle."""
    names = layers(model)
    return names[(0, -1, len(names) // 2)[seed % 3]]


@cache
def labelled(name: str, count: int | None = None) -> tuple[Tensor, Tensor]:
    """Examples with a tenth of their labels drawn at random, so that no loss vanishes."""
    x, y = examples(name, count)
    draw = torch.Generator().manual_seed(0)
    random = torch.randint(0, int(y.max()) + 1, y.shape, generator=draw)
    return x, torch.where(torch.rand(y.shape, generator=draw) < 0.1, random, y)


_IMAGES = partial(labelled, "digits")

SETTINGS: tuple[Setting, ...] = (
    Setting("MLP, digits, SGD", "MLP", partial(mlp, 64, (128, 128), 10), _IMAGES,
            cross_entropy, HEAVY_BALL, 0.02, 64),
    Setting("MLP, California, Adam", "MLP", partial(mlp, 8, (96, 96, 96), 1, nn.SiLU),
            partial(examples, "california_housing", 8192), mse_loss, Adam, 2e-3, 128),
    Setting("MLP, USPS, AdamW", "MLP", partial(mlp, 256, (96, 64), 10, nn.GELU),
            partial(labelled, "usps", 2048), cross_entropy, AdamW, 1e-3, 32, True),
    Setting("CNN, digits, Adam", "CNN", partial(cnn, 8, (16, 32), 10, norm=True), _IMAGES,
            cross_entropy, Adam, 1e-3, 32),
    Setting("CNN, USPS, SGD", "CNN", partial(cnn, 16, (8, 16), 10, norm=True),
            partial(labelled, "usps", 2048), cross_entropy, HEAVY_BALL, 0.01, 32),
    Setting("CNN, MNIST, AdamW", "CNN", partial(cnn, 28, (4, 8), 10, norm=True),
            partial(labelled, "mnist", 2048), cross_entropy, AdamW, 2e-3, 32, True),
    Setting("ResNet, digits, SGD", "ResNet", partial(resnet, 1, (8, 16), 10, stride=1),
            _IMAGES, cross_entropy, HEAVY_BALL, 0.02, 64),
    Setting("ResNet, USPS, AdamW", "ResNet", partial(resnet, 1, (8, 16), 10, stride=2),
            partial(labelled, "usps", 2048), cross_entropy, AdamW, 2e-3, 32),
    Setting("ResNet, MNIST, Adam", "ResNet", partial(resnet, 1, (8, 16), 10, stride=2),
            partial(labelled, "mnist", 2048), cross_entropy, Adam, 2e-3, 32, True),
    Setting("LSTM, rows of digits, Adam", "LSTM", partial(recurrent, nn.LSTM, 8, 48, 10),
            _IMAGES, cross_entropy, Adam, 3e-3, 64),
    Setting("LSTM, Shakespeare, AdamW", "LSTM",
            partial(recurrent, nn.LSTM, 24, 64, SYMBOLS, SYMBOLS),
            partial(next_symbol, 16, 4096), cross_entropy, AdamW, 3e-3, 64),
    Setting("LSTM, rows of USPS, SGD", "LSTM", partial(recurrent, nn.LSTM, 16, 48, 10),
            partial(labelled, "usps", 2048), cross_entropy, HEAVY_BALL, 0.05, 64, True),
    Setting("Transformer, digits, AdamW", "Transformer", partial(vit, 8, 2, 32, 2, 10),
            _IMAGES, cross_entropy, AdamW, 2e-3, 64),
    Setting("Transformer, Shakespeare, Adam", "Transformer",
            partial(gpt, SYMBOLS, LENGTH, 32, 2), partial(next_symbols, LENGTH, 0, 1024),
            symbol_loss, Adam, 2e-3, 16),
    Setting("Transformer, USPS, SGD", "Transformer", partial(vit, 16, 4, 32, 2, 10),
            partial(labelled, "usps", 2048), cross_entropy, HEAVY_BALL, 0.02, 32, True),
)  # fmt: skip
