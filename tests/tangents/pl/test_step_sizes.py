import math

import pytest
import torch
from torch import Tensor

from overparam.tangents import gd_step_size, pl_down_to, sgd_step_size


def system(rows: int = 10, columns: int = 30, spread: float = 1.0) -> tuple[Tensor, Tensor]:
    """A linear system that has a solution; with a small spread its rows are nearly parallel."""
    draw = torch.Generator().manual_seed(0)
    a = torch.randn(rows, columns, generator=draw, dtype=torch.float64) / columns**0.5
    a = spread * a + (1 - spread) * a[:1]
    return a, a @ torch.randn(columns, generator=draw, dtype=torch.float64)


def mean_loss(a: Tensor, b: Tensor, lr: float, batch: int, steps: int, *, mean: bool) -> float:
    """E L_T/L_0 of SGD on ½ (a_i w − b_i)², sums or means, over 300 runs."""
    draw = torch.Generator().manual_seed(1)
    w = torch.zeros(300, a.shape[1], dtype=torch.float64)
    for _ in range(steps):
        i = torch.randint(len(a), (300, batch), generator=draw)
        r = torch.einsum("rsd,rd->rs", a[i], w) - b[i]
        g = torch.einsum("rs,rsd->rd", r, a[i])
        w = w - lr * (g / batch if mean else g)
    return float(((w @ a.T - b).square().sum(1) / b.square().sum()).mean())


@pytest.mark.parametrize("batch", [1, 4, 40])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_the_mean_loss_stays_below_its_bound(batch: int, reduction: str) -> None:
    a, b = system()
    n, mean = len(a), reduction == "mean"
    mu = float(torch.linalg.eigvalsh(a @ a.T)[0]) / (n if mean else 1)
    smoothness = float(a.square().sum(1).max())
    found = sgd_step_size(mu, smoothness, n, batch, reduction=reduction)
    measured = mean_loss(a, b, found.lr, batch, 60, mean=mean)
    assert measured <= found.rate**60


def test_both_conventions_are_the_same_method() -> None:
    total = sgd_step_size(0.8, 1.5, 10, 4)
    mean = sgd_step_size(0.08, 1.5, 10, 4, reduction="mean")
    assert mean.lr == pytest.approx(4 * total.lr)
    assert mean.rate == pytest.approx(total.rate)
    assert total.lr == pytest.approx(0.8 / (1.5 * (15 + 0.8 * 3)))
    assert total.rate == pytest.approx(1 - total.lr * 0.8 * 4 / 10)


def test_the_quoted_step_diverges_where_this_one_does_not() -> None:
    a, _ = system(spread=0.01)
    n = len(a)
    mu = float(torch.linalg.eigvalsh(a @ a.T)[0])
    smoothness = float(a.square().sum(1).max())
    # Batches this large are full batches: w ← w − η (s/n) Aᵀ(Aw − b).
    largest = float(torch.linalg.eigvalsh(a @ a.T)[-1])
    big = 10**9
    ours = sgd_step_size(mu, smoothness, n, big).lr * big / n
    quoted = n * mu / (smoothness * (n**2 * smoothness + mu * (big - 1))) * big / n
    assert ours * largest < 2 < quoted * largest


def test_gradient_descent_down_to_a_level() -> None:
    # L = ½ (w² + c): PL*_ε with μ = ½ holds while w² ≥ c, that is down to ε = c.
    c, w, schedule = 0.01, 3.0, pl_down_to(0.5, 1.0, 0.5 * (9 + 0.01), 0.01)
    loss = [0.5 * (w**2 + c)]
    for _ in range(int(schedule.steps)):
        w -= schedule.lr * w
        loss.append(0.5 * (w**2 + c))
    assert loss[-1] <= 0.01
    assert schedule.radius == pytest.approx(2 * math.sqrt(2 * loss[0]) / 0.5)
    assert (schedule.lr, schedule.rate, schedule.steps) == (1.0, 0.5, 9)  # 2⁹ > 450.5 > 2⁸
    # With other numbers: η = 1/β, 1 − μ/β, and 0.9 to the power 21 is the first below 1/9.
    schedule = pl_down_to(0.4, 4.0, 9.0, 1.0)
    assert (schedule.lr, schedule.rate, schedule.steps) == (0.25, 0.9, 21)
    assert schedule.radius == pytest.approx(2 * math.sqrt(72) / 0.4)
    assert pl_down_to(1.0, 1.0, 5.0, 0.1).steps == 1
    assert pl_down_to(0.5, 1.0, 1.0, 1.0).steps == 0


def test_gd_step() -> None:
    assert gd_step_size(2.0, 3.0, 4.0) == 1 / 16


@pytest.mark.parametrize(
    ("name", "argument", "given"),
    [("gd_step_size", "lipschitz", (0.0, 0.0, 1.0)), ("gd_step_size", "lipschitz", (-1.0, 0.0, 1)),
     ("gd_step_size", "smoothness", (1.0, math.nan, 1.0)),
     ("gd_step_size", "residual", (1.0, 1.0, math.inf)),
     ("sgd_step_size", "mu", (0.0, 1.0, 10, 1)), ("sgd_step_size", "mu", (11.0, 1.0, 10, 1)),
     ("sgd_step_size", "smoothness", (1.0, -1.0, 10, 1)),
     ("sgd_step_size", "n", (1.0, 1.0, 0, 1)), ("sgd_step_size", "batch_size", (1.0, 1.0, 10, 0.5)),
     ("pl_down_to", "mu", (2.0, 1.0, 1.0, 0.1)), ("pl_down_to", "mu", (math.nan, 1.0, 1.0, 0.1)),
     ("pl_down_to", "smoothness", (1.0, 0.0, 1.0, 0.1)),
     ("pl_down_to", "initial_loss", (0.5, 1.0, 0.0, 0.1)),
     ("pl_down_to", "epsilon", (0.5, 1.0, 1.0, 2.0)),
     ("pl_down_to", "epsilon", (0.5, 1.0, 1.0, "1"))],
)  # fmt: skip
def test_bad_input(name: str, argument: str, given: tuple) -> None:
    functions = {f.__name__: f for f in (gd_step_size, sgd_step_size, pl_down_to)}
    with pytest.raises(ValueError, match=rf"`{name}\({argument}=...\)` expected"):
        functions[name](*given)


def test_unknown_reduction() -> None:
    with pytest.raises(ValueError, match=r"`sgd_step_size\(reduction=...\)` expected a reduction"):
        sgd_step_size(0.1, 1.0, 10, 1, reduction="average")
