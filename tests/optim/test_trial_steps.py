"""The rate at which real steps begin to diverge, against steps taken here."""

import copy
import math
import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import LBFGS, SGD, Adam, Optimizer

from overparam._training_mode import uses_batch_statistics
from overparam.optim import critical_learning_rate
from overparam.optim.trial_steps import begins_to_diverge
from overparam.tangents import kernel_change
from overparam.tangents.batch_kernel import batch_ntk

# Smoothed, so that the loss stays away from 0, where small networks jump about.
CE, BCE = nn.CrossEntropyLoss(label_smoothing=0.1), nn.BCEWithLogitsLoss()


def images(n: int = 16) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    y = torch.randint(3, (n,), generator=draw)
    x = torch.randn(n, 1, 8, 8, generator=draw)
    x[torch.arange(n), 0, 2 * y, :] += 2
    return x, y


def normed(before: int, after: int, bias: bool, stride: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(before, after, 3, stride, 1, bias=bias)
    return nn.Sequential(layer, nn.BatchNorm2d(after), nn.ReLU())


class Residual(nn.Module):
    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(normed(4, 4, bias), normed(4, 4, bias))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class UNet(nn.Module):
    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.first, self.below = normed(1, 4, bias), normed(4, 6, bias, stride=2)
        self.wider, self.last = nn.ConvTranspose2d(6, 4, 2, 2), normed(8, 4, bias)
        self.out = nn.Conv2d(4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        above = self.first(x)
        return self.out(self.last(torch.cat([above, self.wider(self.below(above))], 1)))


def classifier(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3))


def ink(f: Tensor, y: Tensor) -> Tensor:
    """Of the row that tells the class, in every column."""
    rows = torch.arange(8)[:, None] == 2 * y[:, None, None, None]
    return BCE(f, rows.expand_as(f).float())


NETWORKS = {
    "conv, Adam": (
        lambda bias: classifier(normed(1, 4, bias), normed(4, 4, bias)),
        CE, lambda p: Adam(p, lr=1e-2),
    ),
    "U-Net, momentum": (UNet, ink, lambda p: SGD(p, lr=0.05, momentum=0.9)),
    "ResNet, SGD": (
        lambda bias: classifier(normed(1, 4, bias), Residual(bias), Residual(bias)),
        CE, lambda p: SGD(p, lr=0.05),
    ),
}  # fmt: skip


def trained(name: str, bias: bool = True, steps: int = 12) -> tuple[nn.Module, Optimizer]:
    build, loss, make = NETWORKS[name]
    torch.manual_seed(0)
    model = build(True)
    if not bias:
        start = model.state_dict()
        model = build(False)
        model.load_state_dict(start, strict=False)
    optimizer, (x, y) = make(model.parameters()), images()
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()
    optimizer.zero_grad()
    return model, optimizer


def losses(model, optimizer, loss, x, y, rate: float, steps: int) -> list[float]:
    """Of copies, at rates in proportion."""
    memo: dict = {}
    model, optimizer = copy.deepcopy(model, memo), copy.deepcopy(optimizer, memo)
    fastest = max(group["lr"] for group in optimizer.param_groups)
    for group in optimizer.param_groups:
        group["lr"] *= rate / fastest
    found = []
    for _ in range(steps + 1):
        optimizer.zero_grad()
        value = loss(model(x), y)
        found.append(float(value.detach()))
        value.backward()
        optimizer.step()
    return found


def rises(found: list[float]) -> bool:
    """By a tenth above its start."""
    return any(not loss <= 1.1 * found[0] or math.isinf(loss) for loss in found)


@pytest.mark.parametrize("name", NETWORKS)
def test_real_steps_begin_to_diverge_there(name: str) -> None:
    model, optimizer = trained(name)
    loss, (x, y) = NETWORKS[name][1], images()
    rate = critical_learning_rate(model, x, y, loss, optimizer, steps=15)
    # The middle of an interval as wide as a factor of 2^¼.
    assert not rises(losses(model, optimizer, loss, x, y, rate / 1.2, 15))
    assert rises(losses(model, optimizer, loss, x, y, rate * 1.2, 15))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("steps", [0, 10])
def test_neither_a_bias_before_batch_norm_nor_forward_passes_matter(name: str, steps) -> None:
    loss, (x, y) = NETWORKS[name][1], images()
    (model, optimizer), (bare, of_bare) = trained(name), trained(name, bias=False)
    found = critical_learning_rate(model, x, y, loss, optimizer, steps=steps)
    without = critical_learning_rate(bare, x, y, loss, of_bare, steps=steps)
    assert 1 / 1.5 < found / without < 1.5
    kernel = batch_ntk(model, x, directions=2)
    with torch.no_grad():
        for _ in range(100):
            model(2 * x + 1)
    again = critical_learning_rate(model, x, y, loss, optimizer, steps=steps)
    assert again == pytest.approx(found, rel=0.05)
    assert kernel_change(batch_ntk(model, x, directions=2), kernel) < 0.05
    assert critical_learning_rate(model.eval(), x, y, loss, optimizer, steps=steps) == again


def test_nothing_is_changed() -> None:
    model, optimizer = trained("conv, Adam")
    model.append(nn.Dropout(0.2))
    x, y = images()
    state = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    modes, rng = [part.training for part in model.modules()], torch.get_rng_state()
    rate = critical_learning_rate(model, x, y, CE, optimizer, steps=5)
    torch.testing.assert_close((model.state_dict(), optimizer.state_dict()), state, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), rng)
    assert all(p.grad is None for p in model.parameters())
    assert [part.training for part in model.modules()] == modes
    torch.rand(3)  # a mask is the same in every step, whatever was drawn before
    assert critical_learning_rate(model, x, y, CE, optimizer, steps=5) == rate


class Signs(Optimizer):
    """Of no known limit."""

    def __init__(self, params) -> None:
        super().__init__(params, {"lr": 0.0})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(group["lr"] * p.grad.sign())


@pytest.mark.parametrize("make", [Signs, Adam], ids=["no known limit", "no history"])
def test_real_steps_need_neither_a_known_limit_nor_a_history(make) -> None:
    model, _ = trained("conv, Adam", steps=0)
    x, y = images()
    optimizer = make(model.parameters())
    with pytest.warns(UserWarning, match="steps= finds the rate"):
        assert math.isnan(critical_learning_rate(model, x, y, CE, optimizer, steps=0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rate = critical_learning_rate(model, x, y, CE, optimizer, steps=10)
    optimizer.param_groups[0]["lr"] = 1.0
    assert not rises(losses(model, optimizer, CE, x, y, rate / 1.2, 10))
    assert rises(losses(model, optimizer, CE, x, y, rate * 1.2, 10))


def linear(rows: int = 4) -> tuple[nn.Module, Tensor, Tensor]:
    """λ = 5 in units of the mean of squares, see `critical_learning_rate`."""
    torch.manual_seed(0)
    x = torch.tensor([[1.0], [2.0]]).repeat(rows, 1)
    return nn.Linear(1, 1, bias=False), x, torch.zeros(2 * rows, 1)


def test_of_a_quadratic_it_is_the_limit() -> None:
    model, x, y = linear()
    rate = critical_learning_rate(model, x, y, F.mse_loss, steps=50)
    assert rate == pytest.approx(2 / 5, rel=0.1)


def test_groups_keep_their_proportion_and_those_of_others_do_not_count() -> None:
    model, x, y = linear()
    other = nn.Linear(1, 1)
    both = SGD([{"params": model.parameters(), "lr": 0.1}, {"params": other.parameters()}], lr=9.0)
    rate = critical_learning_rate(model, x, y, F.mse_loss, both, steps=50)
    assert rate == pytest.approx(2 / 5, rel=0.1)
    model, optimizer = trained("ResNet, SGD", steps=0)
    x, y = images()
    parts = [{"params": model[:-1].parameters(), "lr": 0.1}, {"params": model[-1].parameters()}]
    optimizer = SGD(parts, lr=0.01)
    rate = critical_learning_rate(model, x, y, CE, optimizer, steps=10)
    assert rises(losses(model, optimizer, CE, x, y, rate * 1.2, 10))
    assert not rises(losses(model, optimizer, CE, x, y, rate / 1.2, 10))


def test_at_rest_no_rate_raises_the_loss() -> None:
    model, x, y = linear()
    nn.init.zeros_(model.weight)
    assert critical_learning_rate(model, x, y, F.mse_loss, steps=3) == math.inf


def test_losses_below_zero_rise_as_well() -> None:
    assert not begins_to_diverge([-1.0, -2.0, -0.95])
    assert begins_to_diverge([-1.0, -2.0, -0.85])
    assert begins_to_diverge([1.0, 0.5, math.nan])
    assert begins_to_diverge([1.0, 0.5, math.inf])
    assert not begins_to_diverge([1.0, 0.1, 1.05])


def test_bad_inputs_are_named() -> None:
    model, x, y = linear()
    with pytest.raises(ValueError, match=r"critical_learning_rate\(steps=...\)` expected a num"):
        critical_learning_rate(model, x, y, F.mse_loss, steps=-1)
    with pytest.raises(ValueError, match=r"\(optimizer=...\)` expected .*needs no closure"):
        critical_learning_rate(model, x, y, F.mse_loss, LBFGS(model.parameters()), steps=3)
    fresh = Adam(model.parameters())
    with pytest.raises(ValueError, match=r"critical_learning_rate\(x=...\)` expected finite"):
        critical_learning_rate(model, x * math.nan, y, F.mse_loss, fresh, steps=3)


@pytest.mark.parametrize("name", NETWORKS)
def test_by_default_a_network_with_batch_statistics_is_asked_by_real_steps(name: str) -> None:
    model, optimizer = trained(name)
    loss, (x, y) = NETWORKS[name][1], images()
    rate = critical_learning_rate(model, x, y, loss, optimizer)
    assert rate == critical_learning_rate(model, x, y, loss, optimizer, steps=20)
    assert not rises(losses(model, optimizer, loss, x, y, rate / 1.2, 20))
    assert rises(losses(model, optimizer, loss, x, y, rate * 1.2, 20))


class Centred(nn.Module):
    """What batch norm does, as somebody wrote it."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0) if self.training else x


def test_which_networks_normalise_by_their_batch_is_told_by_what_they_do() -> None:
    x, linear = images()[0], nn.Linear(64, 3)
    found = {}
    for name, layer in {
        "none": nn.Identity(), "layer norm": nn.LayerNorm(64), "own": Centred(),
        "batch norm": nn.BatchNorm1d(64), "frozen": nn.BatchNorm1d(64).eval(),
    }.items():  # fmt: skip
        model = nn.Sequential(nn.Flatten(), layer, linear)
        found[name] = uses_batch_statistics(model, x)
    assert found == {
        "none": False, "layer norm": False, "own": True, "batch norm": True, "frozen": False
    }  # fmt: skip


@pytest.mark.parametrize(
    "case", ["no batch statistics", "frozen", "a closure"], ids=lambda case: case
)
def test_by_default_others_have_the_limit_of_linear_stability(case: str) -> None:
    torch.manual_seed(0)
    (x, y), norm = images(), nn.BatchNorm1d(4)
    layers = [nn.Flatten(), nn.Linear(64, 4), nn.LayerNorm(4), nn.Linear(4, 3)]
    if case != "no batch statistics":
        layers[2] = norm
    model = nn.Sequential(*layers)
    if case == "frozen":
        norm.eval()
    params = model.parameters()
    optimizer = LBFGS(params) if case == "a closure" else SGD(params, lr=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a line search has no limit
        rate = critical_learning_rate(model, x, y, CE, optimizer)
        linear = critical_learning_rate(model, x, y, CE, optimizer, steps=0)
    assert rate == linear or (math.isnan(rate) and math.isnan(linear))


@pytest.mark.parametrize("name", NETWORKS)
def test_half_the_rate_only_lowers_the_loss_and_twice_the_rate_raises_it_by_half(name: str) -> None:
    # By other bounds and more steps than those by which the rate is found.
    model, optimizer = trained(name)
    loss, (x, y) = NETWORKS[name][1], images()
    rate = critical_learning_rate(model, x, y, loss, optimizer, steps=15)
    calm = losses(model, optimizer, loss, x, y, rate / 2, 40)
    assert max(calm) == calm[0]
    assert sum(calm[-10:]) / 10 < 0.75 * calm[0]
    wild = losses(model, optimizer, loss, x, y, rate * 2, 40)
    assert not max(wild) <= 1.5 * wild[0]
