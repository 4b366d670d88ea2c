"""Stability limits, against the behaviour of torch's own optimizers on quadratics."""

import math
import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop, Rprop

from overparam.optim.critical_rate import critical_learning_rate
from overparam.optim.stability import stability


class Quadratic(nn.Module):
    """Outputs √λ_j w_j: with half the sum of squares the Hessian is diag(λ)."""

    def __init__(self, curvatures: list[float]) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(len(curvatures), dtype=torch.float64))
        self.register_buffer("roots", torch.tensor(curvatures, dtype=torch.float64).sqrt())

    def forward(self, x: Tensor) -> Tensor:
        return (self.roots * self.w).expand(len(x), -1)


def half_sum(f: Tensor, y: Tensor) -> Tensor:
    return (f - y).square().sum() / 2


X, Y = torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, 3, dtype=torch.float64)
CURVATURES = [4.0, 1.0, 0.25]

OPTIMIZERS = {
    "plain": lambda p, lr: SGD(p, lr=lr),
    "heavy ball": lambda p, lr: SGD(p, lr=lr, momentum=0.9),
    "dampened": lambda p, lr: SGD(p, lr=lr, momentum=0.8, dampening=0.5),
    "nesterov": lambda p, lr: SGD(p, lr=lr, momentum=0.9, nesterov=True),
    "decayed": lambda p, lr: SGD(p, lr=lr, momentum=0.5, weight_decay=0.7),
}


def diverges(make, lr: float, steps: int = 1000) -> bool:
    """Whether the optimizer leaves the minimum of the quadratic.

    At 1.02 of a limit a step takes it at least 1 % further away: 10³ is 700 steps from 1.
    """
    model = Quadratic(CURVATURES)
    optimizer = make(model.parameters(), lr)
    for _ in range(steps):
        optimizer.zero_grad()
        half_sum(model(X), Y).backward()
        optimizer.step()
        if not float(model.w.detach().abs().max()) < 1e3:
            return True
    return False


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_limit_separates_convergence_from_divergence(name: str) -> None:
    make = OPTIMIZERS[name]
    model = Quadratic(CURVATURES)
    limit = critical_learning_rate(model, X, Y, half_sum, make(model.parameters(), 0.01))
    assert not diverges(make, 0.98 * limit)
    assert diverges(make, 1.02 * limit)


def warmed(make, steps: int = 30) -> tuple[nn.Module, Optimizer]:
    """An adaptive optimizer with statistics of some steps, and its model."""
    model = Quadratic(CURVATURES)
    optimizer = make(model.parameters())
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        optimizer.zero_grad()
        half_sum(model(X), torch.randn(1, 3, dtype=torch.float64, generator=generator)).backward()
        optimizer.step()
    return model, optimizer


def frozen_step_diverges(model: nn.Module, p: Tensor, beta: float, lr: float, decay: float) -> bool:
    """Iterate θ ← (1 − lr·decay)θ − lr·m, m ← βm + (1−β)Hθ/P with P as it is now."""
    h = torch.tensor(CURVATURES, dtype=torch.float64) / p
    w, m = torch.ones(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    for _ in range(1000):
        m = beta * m + (1 - beta) * h * w
        w = (1 - lr * decay) * w - lr * m
    return not float(w.abs().max()) < 1e3


@pytest.mark.parametrize(
    ("make", "decay"),
    [
        (lambda p: Adam(p, lr=0.01, betas=(0.8, 0.9)), 0.0),
        (lambda p: AdamW(p, lr=0.01, betas=(0.8, 0.9), weight_decay=2.0), 2.0),
        (lambda p: Adam(p, lr=0.01, betas=(0.8, 0.9), amsgrad=True), 0.0),
    ],
)
def test_adam_on_its_preconditioned_matrix(make, decay: float) -> None:
    model, optimizer = warmed(make)
    limit = critical_learning_rate(model, X, Y, half_sum, optimizer)
    state, group = optimizer.state[model.w], optimizer.param_groups[0]
    second = state["max_exp_avg_sq"] if group["amsgrad"] else state["exp_avg_sq"]
    p = (second / (1 - 0.9 ** float(state["step"]))).sqrt() + group["eps"]
    assert not frozen_step_diverges(model, p, 0.8, 0.98 * limit, decay)
    assert frozen_step_diverges(model, p, 0.8, 1.02 * limit, decay)


@pytest.mark.parametrize(
    ("make", "divisor"),
    [
        (lambda p: RMSprop(p, lr=0.01), lambda s, g: s["square_avg"].sqrt() + g["eps"]),
        (
            lambda p: RMSprop(p, lr=0.01, centered=True),
            lambda s, g: (s["square_avg"] - s["grad_avg"] ** 2).sqrt() + g["eps"],
        ),
        (lambda p: Adagrad(p, lr=0.01), lambda s, g: s["sum"].sqrt() + g["eps"]),
    ],
)
def test_other_adaptive_optimizers(make, divisor) -> None:
    model, optimizer = warmed(make)
    p = divisor(optimizer.state[model.w], optimizer.param_groups[0])
    expected = 2 / float((torch.tensor(CURVATURES, dtype=torch.float64) / p).max())
    found = critical_learning_rate(model, X, Y, half_sum, optimizer)
    assert found == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize(
    ("loss", "factor"),
    [
        (half_sum, 1.0),
        (lambda f, y: (f - y).square().sum() / len(f), 2.0 / 6),
        (lambda f, y: (f - y).square().sum() / (2 * len(f)), 1.0 / 6),
        (nn.MSELoss(), 2.0 / 12),
    ],
    ids=["half sum", "mean over examples", "half mean", "elementwise mean"],
)
def test_every_normalisation_of_squared_error(loss, factor: float) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    x, y = torch.randn(6, 3, dtype=torch.float64), torch.randn(6, 2, dtype=torch.float64)
    jacobians = torch.autograd.functional.jacobian(
        lambda *w: torch.func.functional_call(
            model, dict(zip(dict(model.named_parameters()), w, strict=True)), (x,)
        ),
        tuple(model.parameters()),
    )
    jacobian = torch.cat([part.reshape(12, -1) for part in jacobians], dim=1)
    top = float(torch.linalg.eigvalsh(jacobian @ jacobian.T).max())
    assert critical_learning_rate(model, x, y, loss) == pytest.approx(2 / (factor * top), rel=2e-3)


def test_groups_with_their_own_rates_are_measured_together() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2)).double()
    x, y = torch.randn(5, 2, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64)
    groups = [{"params": model[0].parameters(), "lr": 0.1},
              {"params": model[1].parameters(), "lr": 0.02}]  # fmt: skip
    measured = stability(model, x, y, nn.MSELoss(), SGD(groups, lr=1.0))
    from overparam.curvature import GGNOperator

    operator = GGNOperator(model, x, y, nn.MSELoss())
    dense = torch.stack([operator.matvec(e) for e in torch.eye(operator.size).double()])
    rates = torch.cat([torch.full((9,), 0.1), torch.full((8,), 0.02)]).double()
    expected = float(torch.linalg.eigvals(rates[:, None] * dense).real.max()) / 2
    assert measured.ratio == pytest.approx(expected, rel=2e-3)
    assert measured.critical_learning_rate == pytest.approx(0.1 / expected, rel=2e-3)
    assert measured.sharpness / measured.limit == pytest.approx(measured.ratio)


def test_a_warm_start_needs_one_product() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(5, 64), nn.ReLU(), nn.Linear(64, 3))
    x, y = torch.randn(40, 5), torch.randint(3, (40,))
    optimizer = SGD(model.parameters(), lr=0.1)
    exact = stability(model, x, y, nn.CrossEntropyLoss(), optimizer)
    warm = stability(model, x, y, nn.CrossEntropyLoss(), optimizer, v0=exact.vector, products=1)
    assert warm.ratio == pytest.approx(exact.ratio, rel=2e-3)


def test_rate_zero_still_has_a_critical_rate() -> None:
    model = Quadratic(CURVATURES)
    measured = stability(model, X, Y, half_sum, SGD(model.parameters(), lr=0.0))
    assert (measured.ratio, measured.limit) == (0.0, math.inf)
    assert measured.critical_learning_rate == pytest.approx(0.5, rel=1e-3)


def test_no_gradient_means_no_limit() -> None:
    model = Quadratic([0.0, 0.0, 0.0])
    assert critical_learning_rate(model, X, Y, half_sum) == math.inf


@pytest.mark.parametrize(
    "make", [lambda p: Rprop(p), lambda p: SGD(p, lr=0.1, maximize=True)], ids=["rprop", "ascent"]
)
def test_unknown_limits_are_nan_with_one_warning(make) -> None:
    model = Quadratic(CURVATURES)
    with pytest.warns(UserWarning, match="is not known") as caught:
        assert math.isnan(critical_learning_rate(model, X, Y, half_sum, make(model.parameters())))
    assert len(caught) == 1


def test_errors_name_the_call_that_was_made() -> None:
    model = Quadratic(CURVATURES)
    with pytest.raises(ValueError, match=r"`critical_learning_rate\(x=...\)` expected finite"):
        critical_learning_rate(model, X * math.nan, Y, half_sum)
    with pytest.raises(ValueError, match=r"`critical_learning_rate\(model=...\)` expected a model"):
        critical_learning_rate(model.requires_grad_(False), X, Y, half_sum)
    other = SGD(Quadratic(CURVATURES).parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"`stability\(optimizer=...\)` expected an optimizer"):
        stability(Quadratic(CURVATURES), X, Y, half_sum, other)


@pytest.mark.parametrize("training", [True, False])
def test_nothing_is_changed(training: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)).train(training)
    x, y = torch.randn(6, 3), torch.randint(3, (6,))
    optimizer = SGD(model.parameters(), lr=0.1)
    modes = [part.training for part in model.modules()]
    state, rng = {n: v.clone() for n, v in model.state_dict().items()}, torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        critical_learning_rate(model, x, y, nn.CrossEntropyLoss(), optimizer)
    assert torch.equal(rng, torch.get_rng_state())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert [part.training for part in model.modules()] == modes
    assert not optimizer.state


def test_an_empty_list_of_inputs_is_refused_in_a_line() -> None:
    model = nn.Linear(2, 1)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises((TypeError, ValueError), match=r"`critical_learning_rate\(x=\.\.\.\)` expe"):
        critical_learning_rate(model, [], torch.ones(3, 1), nn.MSELoss(), sgd)
