"""The limits of known optimizers, against what torch's own do on a quadratic."""

import copy
import math
import warnings

import pytest
import torch
from torch import Tensor, nn, optim
from torch.optim import Optimizer

from overparam.curvature import GGNOperator
from overparam.optim import MaSS, critical_learning_rate, has_stability_limit, stability
from overparam.optim.limits import HISTORY

# What moves along with the parameters; all else in a state is held as it was.
MEMORY = {"exp_avg", "momentum_buffer", "z"}
HELD_OF_GROUPS = ("step", "k", "weight_sum", "lr_max")
CURVATURES = torch.tensor([[4.0, 1.0, 0.25], [3.0, 0.5, 2.0]], dtype=torch.float64)
X = torch.ones(1, 1, dtype=torch.float64)


class Quadratic(nn.Module):
    """Outputs √λ_j w_j: with half the sum of squares the Hessian is diag(λ)."""

    def __init__(self, curvatures: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones_like(curvatures))
        self.roots = curvatures.sqrt()

    def forward(self, x: Tensor) -> Tensor:
        return (self.roots * self.w).reshape(1, -1).expand(len(x), -1)


def half_sum(f: Tensor, y: Tensor) -> Tensor:
    return (f - y).square().sum() / 2


def package(name: str, **options):
    def make(params):
        return getattr(pytest.importorskip("pytorch_optimizer"), name)(params, **options)

    return make


MAKE = {
    "heavy ball": lambda p: optim.SGD(p, lr=0.01, momentum=0.9, weight_decay=0.3),
    "mass": lambda p: MaSS(p, lr=0.01),
    "adam": lambda p: optim.Adam(p, lr=0.01, weight_decay=0.3),
    "adamw": lambda p: optim.AdamW(p, lr=0.01, weight_decay=0.3),
    "amsgrad": lambda p: optim.Adam(p, lr=0.01, amsgrad=True),
    "nadam": lambda p: optim.NAdam(p, lr=0.01),
    "nadam decayed": lambda p: optim.NAdam(
        p, lr=0.01, betas=(0.8, 0.999), weight_decay=0.3, decoupled_weight_decay=True
    ),
    "radam": lambda p: optim.RAdam(p, lr=0.01, weight_decay=0.3),
    "adamax": lambda p: optim.Adamax(p, lr=0.01, weight_decay=0.3),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.01, momentum=0.5, alpha=0.999),
    "adagrad": lambda p: optim.Adagrad(p, lr=0.01, lr_decay=0.1),
    "adafactor": lambda p: optim.Adafactor(p, lr=0.01),
    "schedule-free": package("ScheduleFreeSGD", lr=0.01, weight_lr_power=0, weight_decay=0.3),
    "schedule-free adamw": package(
        "ScheduleFreeAdamW", lr=0.01, weight_lr_power=0, weight_decay=0.3
    ),
}


def warmed(make, curvatures: Tensor, steps: int = 100) -> tuple[Quadratic, Optimizer]:
    """An optimizer with a history of noisy gradients, and its model."""
    model = Quadratic(curvatures)
    optimizer = make(model.parameters())
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        optimizer.zero_grad()
        noise = torch.randn(1, curvatures.numel(), dtype=torch.float64, generator=generator)
        half_sum(model(X), model(X).detach() + noise).backward()
        optimizer.step()
    return model, optimizer


def grows(model: Quadratic, optimizer: Optimizer, rate: float, steps: int = 1500) -> bool:
    """Whether a small error grows, with the optimizer's own steps and its statistics held."""
    p, group = model.w, optimizer.param_groups[0]
    group["lr"], state = rate, optimizer.state[p]
    held = {k: copy.deepcopy(v) for k, v in state.items() if k not in MEMORY}
    held_of_group = {k: group[k] for k in HELD_OF_GROUPS if k in group}
    # The minimum is away from 0, since Adafactor's steps are a part of the parameters; where
    # weights decay it is at 0.
    aim = torch.full_like(p, 0.0 if group["weight_decay"] else 1.0)
    with torch.no_grad():
        p.copy_(aim + 1e-7)
        for name in MEMORY & state.keys():
            state[name].copy_(p if name == "z" else torch.zeros_like(p))
    wanted = (model.roots * aim).reshape(1, -1)
    for _ in range(steps):
        optimizer.zero_grad()
        half_sum(model(X), wanted).backward()
        optimizer.step()
        for name, value in held.items():
            state[name] = copy.deepcopy(value)
        group.update(held_of_group)
        error = float((p.detach() - aim).abs().max())
        if error > 1e-4:
            return True
        if error < 1e-9:
            return False
    return error > 1e-7


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("curvatures", [CURVATURES[0], CURVATURES], ids=["vector", "matrix"])
def test_the_limit_separates_decay_from_growth(name: str, curvatures: Tensor) -> None:
    if name == "adafactor":  # its limit is below its ceiling then
        curvatures = 1e4 * curvatures
    y = torch.zeros(1, curvatures.numel(), dtype=torch.float64)
    for factor, expected in ((0.96, False), (1.04, True)):
        model, optimizer = warmed(MAKE[name], curvatures)
        with torch.no_grad():
            model.w.fill_(0.0 if optimizer.param_groups[0]["weight_decay"] else 1.0)
        limit = critical_learning_rate(model, X, y, half_sum, optimizer)
        assert math.isfinite(limit)
        assert grows(model, optimizer, factor * limit) == expected


class Lion(Optimizer):
    """As packages have it: signs of averaged gradients."""

    def __init__(self, params) -> None:
        super().__init__(params, {"lr": 0.1})

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.data.sub_(group["lr"] * p.grad.sign())


def test_optimizers_whose_steps_keep_their_size_have_no_limit_and_that_is_said() -> None:
    model = Quadratic(CURVATURES)
    y = torch.zeros(1, 6, dtype=torch.float64)
    made = [Lion(model.parameters()), optim.Rprop(model.parameters())]
    if hasattr(optim, "Muon"):
        made.append(optim.Muon(model.parameters()))
    for optimizer in made:
        assert not has_stability_limit(optimizer)
        words = f"{type(optimizer).__name__} is not known: there is no known limit, since its steps"
        with pytest.warns(UserWarning, match=words):
            assert math.isnan(stability(model, X, y, half_sum, optimizer).ratio)


@pytest.mark.parametrize("name", ["adam", "nadam", "adamax", "rmsprop", "adagrad", "adafactor"])
def test_an_adaptive_optimizer_has_no_limit_before_it_has_a_history(name: str) -> None:
    y = torch.zeros(1, 3, dtype=torch.float64)
    for steps in (0, 1, HISTORY - 1):
        model, optimizer = warmed(MAKE[name], CURVATURES[0], steps)
        assert has_stability_limit(optimizer)
        with pytest.warns(UserWarning, match=f"not known yet.*a history of {steps} steps"):
            assert math.isnan(critical_learning_rate(model, X, y, half_sum, optimizer))
    model, optimizer = warmed(MAKE[name], CURVATURES[0], HISTORY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert critical_learning_rate(model, X, y, half_sum, optimizer) > 0


def test_adafactors_rate_beyond_its_ceiling_does_nothing() -> None:
    """Steps use no more than 1/√t, so that a limit beyond it is never met."""
    y = torch.zeros(1, 3, dtype=torch.float64)
    model, optimizer = warmed(MAKE["adafactor"], CURVATURES[0] * 1e-4)
    measured = stability(model, X, y, half_sum, optimizer)
    optimizer.param_groups[0]["lr"] = 100.0
    beyond = stability(model, X, y, half_sum, optimizer)
    assert measured.critical_learning_rate == beyond.critical_learning_rate == math.inf
    assert beyond.ratio == pytest.approx(measured.ratio / 0.01 / math.sqrt(100), rel=1e-6)


def test_what_never_had_a_gradient_has_no_part_in_the_limit() -> None:
    """A row of an embedding that no example used: its second moment is 0, and so would P be."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 2)).double()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    x, y = torch.tensor([0, 1, 2, 3] * 4), torch.randint(2, (16,))
    for i in range(20):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x.roll(i)[:8]), y.roll(i)[:8]).backward()
        optimizer.step()
    unseen = torch.cat([x, torch.tensor([4])]), torch.cat([y, torch.tensor([0])])
    found = critical_learning_rate(model, *unseen, nn.functional.cross_entropy, optimizer)
    dense = GGNOperator(model, *unseen, nn.functional.cross_entropy).dense()
    second = torch.cat([optimizer.state[p]["exp_avg_sq"].flatten() for p in model.parameters()])
    moved = second > 0
    assert int((~moved).sum()) == 4  # the row
    root = ((second[moved] / (1 - 0.999**20)).sqrt() + 1e-8).sqrt()
    top = torch.linalg.eigvalsh(dense[moved][:, moved] / torch.outer(root, root))[-1]
    # 38 = (2 + 2β)/(1 − β); the eigenvalue is iterated to 10⁻³.
    assert found == pytest.approx(38 / float(top), rel=2e-3)
