"""Examples of the tasks that learning rates are judged on: prepared, and a fixed part of them."""

from dataclasses import replace
from functools import cache

import numpy as np
import torch
from torch import Tensor

from overparam.datasets import load, prepare


@cache
def examples(name: str, count: int | None = None) -> tuple[Tensor, Tensor]:
    """Up to `count` training examples, drawn once and for all.

    Raises:
        FileNotFoundError, ValueError: If the set is not to be had here.
    """
    data = load(name)
    chosen = np.random.default_rng(0).permutation(len(data.y_train))[:count]
    prepared = prepare(replace(data, x_train=data.x_train[chosen], y_train=data.y_train[chosen]))
    return torch.from_numpy(prepared.x_train), torch.from_numpy(prepared.y_train)


def yes_or_no(name: str, count: int | None = None) -> tuple[Tensor, Tensor]:
    """Two classes as one column of 0 and 1, for a loss on a single logit."""
    x, y = examples(name, count)
    return x, y.float()[:, None]


def next_symbols(length: int, first: int, count: int) -> tuple[Tensor, Tensor]:
    """Windows of Shakespeare and, of each, the same window one character later."""
    x = torch.from_numpy(load("tinyshakespeare").x_train[first : first + count].astype(np.int64))
    return x[:, :length], x[:, 1 : length + 1]


def next_symbol(length: int, count: int) -> tuple[Tensor, Tensor]:
    """Windows of Shakespeare and the one character that follows each."""
    data = load("tinyshakespeare")
    x, y = data.x_train[:count, -length:], data.y_train[:count]
    return torch.from_numpy(x.astype(np.int64)), torch.from_numpy(y)
