"""Small tasks on which batch sizes, warm-ups and decays are compared, and their trainings."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean

import torch
from advice_data import examples
from advice_networks import cnn, mlp
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

COUNT = 1024
# Rates of a grid, powers of two, by optimizer.
GRIDS = {"SGD": range(-5, 3), "heavy ball": range(-8, 0), "Adam": range(-11, -3)}


@dataclass(frozen=True)
class Task:
    """A network, its data and the optimizer it is trained with.

    Attributes:
        name: Data, network, optimizer, in words.
        make: The network of so many inputs and outputs, at the random numbers of the moment.
        data: Name of the set.
        optimizer: A key of `GRIDS`.
        target: Part of the first training loss that is to be reached.
        wrong: Part of the labels that is drawn at random.
    """

    name: str
    make: Callable[[int, int], nn.Module]
    data: str
    optimizer: str
    target: float
    wrong: float = 0.0

    def examples(self) -> tuple[Tensor, Tensor]:
        """All training examples, at most 1024."""
        return _examples(self.data, self.wrong)

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy of classes, squared error of quantities."""
        return (outputs - y).square().mean() if y.is_floating_point() else cross_entropy(outputs, y)

    def network(self, seed: int) -> nn.Module:
        """The network of a seed."""
        x, y = self.examples()
        torch.manual_seed(seed)
        return self.make(x[0].numel(), y.shape[1] if y.ndim > 1 else int(y.max()) + 1)

    def optimize(self, model: nn.Module, rate: float) -> torch.optim.Optimizer:
        """The optimizer over a network."""
        if self.optimizer == "Adam":
            return torch.optim.Adam(model.parameters(), lr=rate)
        momentum = 0.9 if self.optimizer == "heavy ball" else 0.0
        return torch.optim.SGD(model.parameters(), lr=rate, momentum=momentum)


@cache
def _examples(name: str, wrong: float) -> tuple[Tensor, Tensor]:
    x, y = examples(name, COUNT)
    x = x.float()
    if y.is_floating_point():
        return x, y.float().reshape(len(y), -1)
    draw = torch.Generator().manual_seed(1)
    random = torch.randint(int(y.max()) + 1, y.shape, generator=draw)
    return x, torch.where(torch.rand(len(y), generator=draw) < wrong, random, y)


def _mlp(widths: tuple[int, ...], activation: type[nn.Module]):
    return lambda inputs, outputs: mlp(inputs, widths, outputs, activation)


TASKS = (
    Task("digits, ReLU, SGD", _mlp((32,), nn.ReLU), "digits", "SGD", 0.3),
    Task("digits, tanh, heavy ball", _mlp((32, 32), nn.Tanh), "digits", "heavy ball", 0.3),
    Task("digits, wrong labels, SGD", _mlp((32,), nn.ReLU), "digits", "SGD", 0.6, 0.2),
    Task("California, tanh, Adam", _mlp((32,), nn.Tanh), "california_housing", "Adam", 0.35),
)
ASIDE = (
    Task("post, ReLU, SGD", _mlp((32,), nn.ReLU), "usps", "SGD", 0.2),
    Task("letters, ReLU, Adam", _mlp((64,), nn.ReLU), "letter", "Adam", 0.4),
    Task("robot arm, tanh, SGD", _mlp((32,), nn.Tanh), "kin8nm", "SGD", 0.45),
    Task("waveforms, GELU, heavy ball", _mlp((32,), nn.GELU), "waveform", "heavy ball", 0.3),
    Task("post, CNN, Adam", lambda inputs, outputs: cnn(16, (4, 8), outputs), "usps", "Adam", 0.3),
    Task("bank, ReLU, heavy ball", _mlp((32,), nn.ReLU), "bank", "heavy ball", 0.45),
)


def batches(n: int, size: int, seed: int) -> Iterator[Tensor]:
    """Random batches without end, in passes over all examples."""
    draw = torch.Generator().manual_seed(seed)
    left = torch.zeros(0, dtype=torch.long)
    while True:
        while len(left) < size:
            left = torch.cat([left, torch.randperm(n, generator=draw)])
        yield left[:size]
        left = left[size:]


def first_to_reach(
    task: Task, size: int, *, seeds: int = 2, limit: int = 3000
) -> tuple[float, float]:
    """Steps until one of a grid's rates reaches the target, and that rate: means over seeds.

    All rates and seeds are trained at once; the seeds see batches of their own. Both means are
    geometric. Steps are infinite where a seed reaches it at no rate; the rate is then that of the
    least loss.
    """
    x, y = task.examples()
    rates = [2.0**k for k in GRIDS[task.optimizer]]
    models = [task.network(seed) for seed in range(seeds)]
    names = [name for name, _ in models[0].named_parameters()]
    params = {
        name: torch.stack([dict(m.named_parameters())[name].detach() for m in models])[:, None]
        .repeat_interleave(len(rates), 1).clone()
        for name in names
    }  # fmt: skip
    feeds = [batches(len(x), size, seed) for seed in range(seeds)]

    def loss(params: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return task.loss(torch.func.functional_call(models[0], params, (x,)), y)

    over_rates = torch.func.vmap(torch.func.grad(loss), (0, None, None))
    gradients = torch.func.vmap(over_rates)
    judged = torch.func.vmap(torch.func.vmap(loss, (0, None, None)), (0, None, None))
    part = slice(0, 512)
    goal = task.target * judged(params, x[part], y[part])[:, 0]
    rate, state = torch.tensor(rates), {}
    reached: dict[int, tuple[float, float]] = {}
    for step in range(1, limit + 1):
        index = torch.stack([next(feed) for feed in feeds])
        _advance(task, params, gradients(params, x[index], y[index]), rate, state, step)
        if step % max(1, step // 16) == 0:
            losses = judged(params, x[part], y[part]).nan_to_num(torch.inf)
            for seed in range(seeds):
                if seed not in reached and bool((losses[seed] <= goal[seed]).any()):
                    reached[seed] = step, rates[int(losses[seed].argmin())]
            if len(reached) == seeds:
                break
    for seed in range(seeds):
        least = int(judged(params, x[part], y[part]).nan_to_num(torch.inf)[seed].argmin())
        reached.setdefault(seed, (math.inf, rates[least]))
    steps, best = zip(*reached.values(), strict=True)
    return _geometric(steps), _geometric(best)


def _geometric(values: Sequence[float]) -> float:
    return math.exp(fmean(map(math.log, values)))


def _advance(task: Task, params: dict, grads: dict, rate: Tensor, state: dict, step: int) -> None:
    """A step of all networks at once, in place."""
    for name, g in grads.items():
        lr = rate.view(1, -1, *[1] * (g.ndim - 2))
        if task.optimizer == "SGD":
            params[name] -= lr * g
        elif task.optimizer == "heavy ball":
            state[name] = 0.9 * state.get(name, 0.0) + g
            params[name] -= lr * state[name]
        else:
            first, second = state.get(name, (0.0, 0.0))
            first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g * g
            state[name] = first, second
            scale = (second / (1 - 0.999**step)).sqrt() + 1e-8
            params[name] -= lr * first / (1 - 0.9**step) / scale
