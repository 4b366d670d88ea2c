"""The monitor in the ways networks are trained: mixed precision, compiled, resumed, and others.

Each run ends bit for bit where it ends without a monitor, and what was measured is right.
"""

import copy
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from overparam.curvature import GGNOperator
from overparam.dynamics import Monitor
from overparam.dynamics.probes import LossSplit, Norms, Probe, Sharpness
from overparam.dynamics.subject import bare

MSE = nn.functional.mse_loss


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 24), nn.BatchNorm1d(24), nn.Tanh(), nn.Linear(24, 1))


class Tied(nn.Module):
    """An embedding that is also the readout."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 8, bias=False)
        self.back = nn.Linear(6, 8, bias=False)
        self.back.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.embed(x)) @ self.back.weight


@dataclass
class Setup:
    """One way to train; `step` is what happens between two batches."""

    build: Callable[[], nn.Module] = network
    optimizer: Callable[[nn.Module], torch.optim.Optimizer] = lambda model: torch.optim.SGD(
        model.parameters(), lr=0.05, momentum=0.9
    )
    wrap: Callable[[nn.Module], nn.Module] = lambda model: model
    precision: torch.dtype | None = None
    scaler: Callable[[], Any] = lambda: None
    unscale: bool = False
    accumulate: int = 1
    loss: Callable[[Tensor, Tensor], Tensor] = MSE
    targets: int = 1
    poison: int | None = None
    absent: set[str] = field(default_factory=set)


def without_output_scale(model: nn.Module) -> torch.optim.Optimizer:
    for p in model[0].parameters():
        p.requires_grad_(False)
    return torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.05)


def two_rates(model: nn.Module) -> torch.optim.Optimizer:
    groups = [
        {"params": model[0].parameters(), "lr": 0.3},
        {"params": [*model[1].parameters(), *model[3].parameters()], "lr": 0.01},
    ]
    return torch.optim.SGD(groups)


def compiled_inside(model: nn.Module) -> nn.Module:
    model[0] = torch.compile(model[0], backend="eager")
    return model


def compiled_in_place(model: nn.Module) -> nn.Module:
    model.compile(backend="eager")
    return model


SETUPS = {
    "plain": Setup(),
    "bfloat16": Setup(precision=torch.bfloat16),
    "float16 with a scaler": Setup(
        precision=torch.float16, scaler=lambda: torch.amp.GradScaler("cpu", init_scale=256.0)
    ),
    "unscaled before": Setup(
        precision=torch.float16,
        scaler=lambda: torch.amp.GradScaler("cpu", init_scale=256.0),
        unscale=True,
    ),
    "accumulation": Setup(accumulate=3),
    "compiled": Setup(wrap=lambda model: torch.compile(model, backend="eager")),
    "compiled inside": Setup(wrap=compiled_inside),
    "compiled in place": Setup(wrap=compiled_in_place),
    "two rates": Setup(optimizer=two_rates),
    "rate zero": Setup(optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.0)),
    "frozen": Setup(optimizer=without_output_scale),
    "tied": Setup(build=Tied, targets=6),
    "adam": Setup(optimizer=lambda m: torch.optim.AdamW(m.parameters(), lr=0.01)),
    "a loss that is not a number": Setup(poison=3),
}


def train(setup: Setup, monitored: bool, steps: int = 6) -> tuple[dict[str, Tensor], Monitor]:
    """Train as the setup says; what is left, and the monitor."""
    torch.manual_seed(0)
    model = setup.build()
    x = torch.randn(steps * setup.accumulate, 16, 6)
    y = torch.randn(steps * setup.accumulate, 16, setup.targets)
    optimizer, model = setup.optimizer(model), setup.wrap(model)
    scaler = setup.scaler()
    monitor = Monitor(model, setup.loss, optimizer, max_overhead=math.inf, grad_scale=scaler)
    batches = iter(zip(x, y, strict=True))
    for step in range(steps):
        optimizer.zero_grad()
        total = 0.0
        for _ in range(setup.accumulate):
            inputs, targets = next(batches)
            with torch.autocast("cpu", dtype=setup.precision, enabled=setup.precision is not None):
                value = setup.loss(model(inputs).float(), targets) / setup.accumulate
            if step == setup.poison:
                value = value * math.nan
            (value if scaler is None else scaler.scale(value)).backward()
            total += value.detach()
        if setup.unscale:
            scaler.unscale_(optimizer)
        if monitored:
            monitor.step(total, batch=(inputs, targets))
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()
    left = {name: value.clone() for name, value in model.state_dict().items()}
    left |= {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return left | {"random": torch.get_rng_state()}, monitor


@pytest.fixture(autouse=True)
def compiled_afresh():
    yield
    torch.compiler.reset()


@pytest.mark.parametrize("name", list(SETUPS))
def test_the_run_is_bitwise_the_same(name):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        plain, _ = train(SETUPS[name], monitored=False)
        watched, monitor = train(SETUPS[name], monitored=True)
    assert plain.keys() == watched.keys()
    same = {n: torch.equal(v, watched[n]) or bool(v.isnan().all()) for n, v in plain.items()}
    assert [n for n, equal in same.items() if not equal] == []
    table = monitor.history
    assert len(table) == 6  # optimizer steps, not batches
    assert len(monitor.probes) == 7
    if name == "adam":  # which has no limit in its first ten steps
        assert "sharpness" not in table
    else:
        assert table["sharpness"].notna()[: SETUPS[name].poison or 6].all()


def test_probes_run_in_full_precision():
    class Sees(Probe):
        name = "sees"

        def measure(self, scene):
            outputs = scene.model(scene.batch[0])
            return {"single": float(outputs.dtype == torch.float32)}

    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = Monitor(model, MSE, optimizer, probes=[Sees()], max_overhead=math.inf)
    x, y = torch.randn(8, 6), torch.randn(8, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = MSE(model(x), y)
        assert model(x).dtype == torch.bfloat16
        monitor.step(value, batch=(x, y))
        assert torch.is_autocast_enabled("cpu")
    assert monitor.history["single"][0] == 1


@pytest.mark.parametrize("unscale", [False, True])
def test_a_real_scaler_leaves_the_gradient_norm_unscaled(unscale):
    torch.manual_seed(0)
    model, x, y = network(), torch.randn(8, 6), torch.randn(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    MSE(model(x), y).backward()
    expected = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
    optimizer.zero_grad()
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    monitor = Monitor(
        model, MSE, optimizer, probes=[Norms()], max_overhead=math.inf, grad_scale=scaler
    )
    scaler.scale(MSE(model(x), y)).backward()
    if unscale:
        scaler.unscale_(optimizer)
    monitor.step(1.0)
    assert monitor.history["grad_norm"][0] == pytest.approx(float(expected), rel=1e-4)


def test_several_rates_are_judged_together():
    """λ_max(diag(η)^½ G diag(η)^½) / 2, by dense algebra."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    x, y = torch.randn(16, 6).double(), torch.randn(16, 1).double()
    rates = {"0": 0.3, "2": 0.02}
    optimizer = torch.optim.SGD(
        [{"params": model.get_submodule(n).parameters(), "lr": rate} for n, rate in rates.items()]
    )
    probe = Sharpness()
    monitor = Monitor(model, MSE, optimizer, probes=[probe], max_overhead=math.inf)
    for _ in range(60):  # the parameters do not move: power iteration converges
        monitor.step(1.0, batch=(x, y))
    operator = GGNOperator(model, x, y, MSE)
    dense = torch.stack([operator.matvec(row) for row in torch.eye(operator.size).double()])
    names = [n for n, p in model.named_parameters() for _ in range(p.numel())]
    root = torch.tensor([rates[n[0]] for n in names]).double().sqrt()
    ratio = torch.linalg.eigvalsh(root[:, None] * dense * root)[-1] / 2
    table = monitor.history.iloc[-1]
    assert table["stability_ratio"] == pytest.approx(float(ratio), rel=1e-6)
    assert table["lr"] == 0.3
    assert table["sharpness_limit"] == pytest.approx(2 / 0.3)


def test_compilation_by_the_default_backend():
    setup = Setup(build=lambda: nn.Sequential(nn.Linear(6, 1), nn.Tanh()), wrap=torch.compile)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            plain, _ = train(setup, monitored=False, steps=3)
        except Exception as problem:  # the backend's kinds of failure are many
            pytest.skip(f"no working compiler here: {type(problem).__name__}")
        watched, monitor = train(setup, monitored=True, steps=3)
    assert [n for n, v in plain.items() if not torch.equal(v, watched[n])] == []
    assert monitor.history["sharpness"].notna().all()


def test_a_resumed_run_goes_on_exactly(tmp_path):
    """History, events and budget after a restart in the middle of a spike."""

    def start():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 1))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        probes = [Norms(), Sharpness(), LossSplit()]
        monitor = Monitor(model, MSE, optimizer, probes=probes, max_overhead=math.inf)
        return model, optimizer, monitor

    x = torch.randn(16, 6, generator=torch.Generator().manual_seed(1))
    y = x[:, :1]

    def go(model, optimizer, monitor, steps):
        for step in steps:
            optimizer.zero_grad()
            value = MSE(model(x), y)
            value.backward()
            monitor.step(value if step != 30 else value * 50, batch=(x, y))
            optimizer.step()

    model, optimizer, whole = start()
    go(model, optimizer, whole, range(60))
    model, optimizer, half = start()
    go(model, optimizer, half, range(31))
    torch.save([half.state_dict(), copy.deepcopy(model.state_dict())], tmp_path / "saved.pt")
    state, weights = torch.load(tmp_path / "saved.pt", weights_only=True)
    model, optimizer, rest = start()
    model.load_state_dict(weights)
    rest.load_state_dict(state)
    go(model, optimizer, rest, range(31, 60))
    expected, found = (m.history.drop(columns="overhead") for m in (whole, rest))
    assert found.equals(expected)
    assert len(whole.events) == 1
    assert repr(rest.events) == repr(whole.events)  # NaN is not itself
    assert rest.budget.own > half.budget.own


def test_a_subclass_of_what_spreads_a_model_is_looked_into():
    class Ours(nn.DataParallel):
        pass

    inner = nn.Linear(2, 1)
    assert bare(Ours(inner)) is inner


@pytest.mark.parametrize("form", [Tensor.numpy, Tensor.tolist, lambda x: [x], lambda x: (x, None)])
@pytest.mark.filterwarnings("ignore:the monitor's 'batch critical rate' is switched off")
def test_batches_of_another_form_do_not_end_the_training(form):
    """What the adaptor makes of them is the user's own; the probe batch is known."""
    torch.manual_seed(0)
    model, x, y = nn.Linear(6, 1), torch.randn(8, 6), torch.zeros(8, 1)

    def forward(model: nn.Module, given: Any) -> Tensor:
        if isinstance(given, Tensor):
            return model(given)
        return model(torch.as_tensor(given[0] if isinstance(given[0], Tensor) else given))

    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    monitor = Monitor(
        model, MSE, optimizer, forward=forward, probe_batch=(x, y), max_overhead=math.inf
    )
    for _ in range(2):
        value = MSE(forward(model, form(x)), y)
        optimizer.zero_grad()
        value.backward()
        monitor.step(value, batch=(form(x), y))
        optimizer.step()
    assert monitor.history["kernel_change"].notna().all()
