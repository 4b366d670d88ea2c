"""Small trainings whose best learning rate nobody knows beforehand.

Methods are developed on the first thirty. The others are kept aside: methods are judged on them
once, and they were written down before any result of theirs. (Of the first thirty every third
was kept aside until it had been looked at.)
"""

import ast
import hashlib
import inspect
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import torch
from advice_data import examples, next_symbol, next_symbols, yes_or_no
from advice_networks import cnn, gpt, mlp, recurrent, resnet, vit
from advice_trained import LENGTH, SYMBOLS, second_half, symbol_loss, trained_cnn, trained_gpt
from torch import Tensor, nn
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    mse_loss,
)
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler

HEAVY_BALL = partial(SGD, momentum=0.9)
NESTEROV = partial(SGD, momentum=0.9, nesterov=True)


def cosine(optimizer: Optimizer, steps: int) -> LRScheduler:
    """Half a cosine, down to nothing."""
    return CosineAnnealingLR(optimizer, steps)


def warm_up_and_decay(optimizer: Optimizer, steps: int) -> LRScheduler:
    """Up linearly over a tenth of the steps, then down linearly to nothing."""
    up = max(steps // 10, 1)
    return LambdaLR(optimizer, lambda k: min((k + 1) / up, (steps - k) / (steps - up)))


@dataclass(frozen=True)
class Task:
    """One training: everything but its learning rate.

    `network()` draws weights, `data()` gives tensors (x, y), `optimizer(params, lr=...)` and
    `schedule(optimizer, steps)` make what their names say.
    """

    name: str
    network: Callable[[], nn.Module]
    data: Callable[[], tuple[Tensor, Tensor]]
    loss: Callable[[Any, Tensor], Tensor]
    optimizer: Callable[..., Optimizer]
    batch_size: int
    steps: int
    schedule: Callable[[Optimizer, int], LRScheduler] | None = None
    clip_norm: float | None = None

    def make_model(self, seed: int) -> nn.Module:
        """The network with the weights of a seed, ready to train."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.network().train()

    def make_optimizer(self, params: Any, lr: float) -> Optimizer:
        """Its optimizer at some rate."""
        return self.optimizer(params, lr=lr)

    @property
    def family(self) -> str:
        """What kind of optimizer it has: plain, momentum or adaptive."""
        if getattr(self.optimizer, "func", self.optimizer) is not SGD:
            return "adaptive"
        return "plain" if self.optimizer is SGD else "momentum"

    @property
    def kept_aside(self) -> bool:
        """Whether methods are judged on it once, at the end."""
        return TASKS.index(self) >= DEVELOPED_ON

    @property
    def digest(self) -> str:
        """Changes with the task's settings and with the code of this folder behind them."""
        text = "\n".join(described(getattr(self, field.name)) for field in fields(self))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def missing(self) -> str | None:
        """Why its data cannot be had here, in a line; `None` if they can."""
        try:
            self.data()
        except (FileNotFoundError, ValueError) as error:
            return str(error).splitlines()[0]
        return None


def described(thing: Any, seen: frozenset[str] = frozenset()) -> str:
    """What a setting is: the source of our own code, with all it calls; names and numbers else."""
    if isinstance(thing, partial):
        parts = [thing.func, *thing.args, *thing.keywords.items()]
        return "\n".join(described(part, seen) for part in parts)
    if not callable(thing):
        return repr(thing)
    thing = inspect.unwrap(thing)
    module = thing.__module__
    if not module.startswith("advice_") or thing.__name__ in seen:
        return f"{module}.{thing.__name__}"
    source = textwrap.dedent(inspect.getsource(thing))
    used = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    found = [(name, vars(sys.modules[module]).get(name)) for name in sorted(used)]
    inner = [
        f"{name} = {described(value, seen | {thing.__name__})}"
        for name, value in found
        if isinstance(value, int | float | str) or _is_own(value)
    ]
    return "\n".join([source, *inner])


def _is_own(value: Any) -> bool:
    return str(getattr(value, "__module__", "")).startswith("advice_")


DEVELOPED_ON = 30

TASKS: list[Task] = [
    Task(
        "digits, GELU, SGD",
        partial(mlp, 64, (128, 128, 128), 10, nn.GELU),
        partial(examples, "digits"),
        cross_entropy, SGD, 64, 448,
    ),
    Task(
        "breast cancer, tanh, heavy ball",
        partial(mlp, 30, (64, 64), 1, nn.Tanh),
        partial(yes_or_no, "breast_cancer"),
        binary_cross_entropy_with_logits, HEAVY_BALL, 32, 288,
    ),
    Task(
        "Fashion-MNIST, CNN, SGD",
        partial(cnn, 28, (8, 16, 16), 10),
        partial(examples, "fashion_mnist", 2048),
        cross_entropy, SGD, 32, 320,
    ),
    Task(
        "California, SiLU, Adam",
        partial(mlp, 8, (128, 128, 128), 1, nn.SiLU),
        partial(examples, "california_housing", 8192),
        huber_loss, Adam, 128, 384,
    ),
    Task(
        "letters, ReLU LayerNorm, SGD",
        partial(mlp, 16, (256, 256), 26, norm=True),
        partial(examples, "letter", 8192),
        partial(cross_entropy, label_smoothing=0.1), SGD, 128, 512,
    ),
    Task(
        "USPS, narrow and deep ReLU, heavy ball",
        partial(mlp, 256, (24,) * 7, 10),
        partial(examples, "usps", 2048),
        cross_entropy, HEAVY_BALL, 32, 512,
    ),
    Task(
        "Shakespeare, GPT, AdamW",
        partial(gpt, SYMBOLS, LENGTH, 32, 2),
        partial(next_symbols, LENGTH, 0, 1024),
        symbol_loss, partial(AdamW, weight_decay=0.1), 16, 256, warm_up_and_decay, 1.0,
    ),
    Task(
        "digits, CNN batch norm, Nesterov",
        partial(cnn, 8, (16, 32), 10, norm=True),
        partial(examples, "digits"),
        cross_entropy, NESTEROV, 32, 352,
    ),
    Task(
        "diabetes, tanh, SGD",
        partial(mlp, 10, (48, 48), 1, nn.Tanh),
        partial(examples, "diabetes"),
        mse_loss, SGD, 16, 880,
    ),
    Task(
        "MNIST, wide with dropout, SGD",
        partial(mlp, 784, (384, 384), 10, dropout=0.5),
        partial(examples, "mnist", 2048),
        cross_entropy, SGD, 16, 512,
    ),
    Task(
        "rows of digits, GRU, Adam",
        partial(recurrent, nn.GRU, 8, 48, 10),
        partial(examples, "digits"),
        cross_entropy, Adam, 64, 256,
    ),
    Task(
        "CIFAR-10, ResNet, AdamW",
        partial(resnet, 3, (12, 24), 10, stride=2),
        partial(examples, "cifar10", 1024),
        cross_entropy, partial(AdamW, weight_decay=0.05), 32, 256, cosine,
    ),
    Task(
        "Fashion-MNIST, CNN, heavy ball",
        partial(cnn, 28, (8, 8, 16, 16), 10),
        partial(examples, "fashion_mnist", 2048),
        cross_entropy, HEAVY_BALL, 32, 320, cosine,
    ),
    Task(
        "robot arm, GELU, Adam",
        partial(mlp, 8, (128, 128), 1, nn.GELU),
        partial(examples, "kin8nm", 4096),
        mse_loss, Adam, 64, 640,
    ),
    Task(
        "spam, GELU LayerNorm, Nesterov",
        partial(mlp, 57, (64, 64), 1, nn.GELU, norm=True),
        partial(yes_or_no, "spambase"),
        binary_cross_entropy_with_logits, NESTEROV, 64, 512,
    ),
    Task(
        "USPS, ViT, Adam",
        partial(vit, 16, 4, 32, 2, 10),
        partial(examples, "usps", 2048),
        cross_entropy, Adam, 32, 320,
    ),
    Task(
        "MNIST, ResNet, SGD",
        partial(resnet, 1, (8, 16), 10, stride=2),
        partial(examples, "mnist", 2048),
        cross_entropy, SGD, 64, 192,
    ),
    Task(
        "Shakespeare, LSTM, RMSprop",
        partial(recurrent, nn.LSTM, 24, 64, SYMBOLS, SYMBOLS),
        partial(next_symbol, 24, 4096),
        cross_entropy, RMSprop, 64, 256, None, 1.0,
    ),
    Task(
        "white wine, ReLU, heavy ball",
        partial(mlp, 11, (256, 256), 1),
        partial(examples, "wine_white"),
        mse_loss, HEAVY_BALL, 32, 976,
    ),
    Task(
        "splice, tanh, AdamW",
        partial(mlp, 285, (64,) * 4, 3, nn.Tanh),
        partial(examples, "splice"),
        cross_entropy, partial(AdamW, weight_decay=0.01), 32, 480,
    ),
    Task(
        "letters, SiLU, SGD",
        partial(mlp, 16, (128, 128, 128), 26, nn.SiLU),
        partial(examples, "letter", 8192),
        cross_entropy, SGD, 64, 640, cosine,
    ),
    Task(
        "digits, ReLU begun too large, SGD",
        partial(mlp, 64, (128,) * 4, 10, gain=3.0),
        partial(examples, "digits"),
        cross_entropy, SGD, 32, 448,
    ),
    Task(
        "Shakespeare, GRU, Nesterov",
        partial(recurrent, nn.GRU, 24, 64, SYMBOLS, SYMBOLS),
        partial(next_symbol, 24, 2048),
        cross_entropy, NESTEROV, 32, 320, None, 1.0,
    ),
    Task(
        "digits, ViT, AdamW",
        partial(vit, 8, 2, 32, 2, 10),
        partial(examples, "digits"),
        partial(cross_entropy, label_smoothing=0.1), partial(AdamW, weight_decay=0.05),
        64, 256, warm_up_and_decay,
    ),
    Task(
        "concrete, tanh, Nesterov",
        partial(mlp, 8, (64, 64, 64), 1, nn.Tanh),
        partial(examples, "concrete"),
        huber_loss, NESTEROV, 16, 960,
    ),
    Task(
        "protein, deep LayerNorm, RMSprop",
        partial(mlp, 9, (64,) * 6, 1, norm=True),
        partial(examples, "protein", 16384),
        mse_loss, RMSprop, 256, 384,
    ),
    Task(
        "pen digits, ReLU begun too small, heavy ball",
        partial(mlp, 16, (128, 128, 128), 10, gain=0.4),
        partial(examples, "pendigits"),
        cross_entropy, HEAVY_BALL, 256, 320, warm_up_and_decay,
    ),
    Task(
        "Fashion-MNIST, CNN batch norm, Adam",
        partial(cnn, 28, (8, 16, 16), 10, norm=True),
        partial(examples, "fashion_mnist", 2048),
        cross_entropy, Adam, 64, 160,
    ),
    Task(
        "other half of Shakespeare, trained GPT, AdamW",
        trained_gpt,
        second_half,
        symbol_loss, partial(AdamW, weight_decay=0.01), 16, 256, warm_up_and_decay, 1.0,
    ),
    Task(
        "Fashion-MNIST to MNIST, trained CNN, AdamW",
        trained_cnn,
        partial(examples, "mnist", 2048),
        cross_entropy, partial(AdamW, weight_decay=0.01), 32, 256, warm_up_and_decay,
    ),
    Task(
        "waveforms, ReLU, SGD",
        partial(mlp, 40, (96, 96), 3),
        partial(examples, "waveform"),
        cross_entropy, SGD, 32, 448,
    ),
    Task(
        "abalone, GELU, heavy ball",
        partial(mlp, 10, (64, 64), 1, nn.GELU),
        partial(examples, "abalone"),
        huber_loss, HEAVY_BALL, 64, 480,
    ),
    Task(
        "MNIST, CNN, AdamW",
        partial(cnn, 28, (8, 16, 24), 10),
        partial(examples, "mnist", 2048),
        cross_entropy, partial(AdamW, weight_decay=0.1), 64, 192,
    ),
    Task(
        "elevators, tanh, SGD",
        partial(mlp, 18, (64, 64, 64), 1, nn.Tanh),
        partial(examples, "elevators", 4096),
        mse_loss, SGD, 64, 512,
    ),
    Task(
        "USPS, CNN batch norm, heavy ball",
        partial(cnn, 16, (12, 24), 10, norm=True),
        partial(examples, "usps", 2048),
        cross_entropy, HEAVY_BALL, 64, 256, cosine,
    ),
    Task(
        "Shakespeare, deep GPT, Adam",
        partial(gpt, SYMBOLS, LENGTH, 24, 4),
        partial(next_symbols, LENGTH, 2048, 1024),
        symbol_loss, Adam, 32, 192, None, 1.0,
    ),
    Task(
        "vowels, SiLU, Nesterov",
        partial(mlp, 20, (64, 64), 11, nn.SiLU),
        partial(examples, "vowel"),
        cross_entropy, NESTEROV, 16, 880,
    ),
    Task(
        "mushrooms, ReLU, RMSprop",
        partial(mlp, 117, (64, 64), 1),
        partial(yes_or_no, "mushroom", 4096),
        binary_cross_entropy_with_logits, RMSprop, 64, 320,
    ),
    Task(
        "Fashion-MNIST, ViT, AdamW",
        partial(vit, 28, 7, 32, 2, 10),
        partial(examples, "fashion_mnist", 2048),
        cross_entropy, partial(AdamW, weight_decay=0.05), 32, 320, warm_up_and_decay, 1.0,
    ),
    Task(
        "CIFAR-10, ResNet, Nesterov",
        partial(resnet, 3, (12, 24), 10, stride=2),
        partial(examples, "cifar10", 1024),
        cross_entropy, NESTEROV, 64, 192,
    ),
    Task(
        "airfoil, LayerNorm, Adam",
        partial(mlp, 5, (96, 96, 96), 1, norm=True),
        partial(examples, "airfoil_centred"),
        mse_loss, Adam, 32, 640, cosine,
    ),
    Task(
        "nursery, tanh, heavy ball",
        partial(mlp, 27, (64, 64), 5, nn.Tanh),
        partial(examples, "nursery", 4096),
        partial(cross_entropy, label_smoothing=0.1), HEAVY_BALL, 128, 384,
    ),
    Task(
        "rows of USPS, LSTM, SGD",
        partial(recurrent, nn.LSTM, 16, 48, 10),
        partial(examples, "usps", 2048),
        cross_entropy, SGD, 32, 384,
    ),
    Task(
        "red wine, deep and narrow GELU, AdamW",
        partial(mlp, 11, (24,) * 6, 1, nn.GELU),
        partial(examples, "wine_red"),
        mse_loss, partial(AdamW, weight_decay=0.01), 32, 640,
    ),
    Task(
        "digits, wide with dropout, SGD",
        partial(mlp, 64, (192, 192), 10, dropout=0.3),
        partial(examples, "digits"),
        cross_entropy, SGD, 16, 704, cosine,
    ),
]  # fmt: skip
