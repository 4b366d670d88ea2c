"""Networks that were trained on something else before, for tasks that tune them."""

from collections.abc import Callable
from functools import cache

import torch
from advice_data import examples, next_symbols
from advice_networks import cnn, gpt
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

SYMBOLS, LENGTH, HALF = 65, 32, 7843


def symbol_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of every next symbol: logits ``(n, length, symbols)``."""
    return cross_entropy(logits.flatten(0, 1), targets.flatten())


def trained_gpt() -> nn.Module:
    """A transformer that has read the first half of Shakespeare."""
    model = gpt(SYMBOLS, LENGTH, 32, 2)
    model.load_state_dict(_gpt_weights())
    return model


def second_half() -> tuple[Tensor, Tensor]:
    """Windows of the half that it has not read."""
    return next_symbols(LENGTH, HALF, 1024)


def trained_cnn() -> nn.Module:
    """A network that knows Fashion-MNIST, with a new last layer."""
    model = cnn(28, (8, 16, 16), 10)
    fresh = {name: p.clone() for name, p in model.state_dict().items() if name.startswith("9.")}
    model.load_state_dict({**_cnn_weights(), **fresh})
    return model


@cache
def _gpt_weights() -> dict[str, Tensor]:
    x, y = next_symbols(LENGTH, 0, HALF)
    return _trained(lambda: gpt(SYMBOLS, LENGTH, 32, 2), x, y, symbol_loss, 600, 16)


@cache
def _cnn_weights() -> dict[str, Tensor]:
    x, y = examples("fashion_mnist", 4096)
    return _trained(lambda: cnn(28, (8, 16, 16), 10), x, y, cross_entropy, 256, 32)


def _trained(
    make: Callable[[], nn.Module], x: Tensor, y: Tensor, loss: Callable, steps: int, size: int
) -> dict[str, Tensor]:
    """Weights after some steps of Adam whose rate falls to nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make()
        optimizer = torch.optim.Adam(model.parameters(), 3e-3)
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            chosen = torch.randint(len(y), (size,))
            optimizer.zero_grad()
            loss(model(x[chosen]), y[chosen]).backward()
            optimizer.step()
            decay.step()
    return model.state_dict()
