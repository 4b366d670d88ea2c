"""Faults that make a loss spike, put into a training at a known step."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from spike_settings import Setting, apart_in, layer_of, layers, trained
from torch import Tensor, nn
from torch.optim import Optimizer

# Steps that are watched before a fault, and after it began.
CALM, AFTER = 42, 24
# A run at one constant rate that spikes by itself.
NATURAL = 100
# Examples of a full batch.
FULL = 256
_HOTTER = (8.0, 32.0, 128.0)


@dataclass
class Run:
    """A training under way.

    Attributes:
        setting: What is trained.
        model: The network.
        optimizer: Its optimizer.
        seed: Of data and faults.
        apart: The layer that has a group of its own, and faults of single layers.
        at: The step at which the fault begins.
        kept: What a fault remembers.
    """

    setting: Setting
    model: nn.Module
    optimizer: Optimizer
    seed: int
    apart: str
    at: int
    kept: dict[str, Any] = field(default_factory=dict)

    def draw(self) -> torch.Generator:
        """Random numbers of the fault."""
        return torch.Generator().manual_seed(100 + self.seed)

    def own(self) -> list[tuple[str, nn.Parameter]]:
        """Parameters of the layer apart."""
        return [(n, p) for n, p in self.model.named_parameters() if layer_of(n) == self.apart]


Fault = Callable[[Run, int], None]
Spoil = Callable[[Run, int, Tensor, Tensor], tuple[Tensor, Tensor]]


def _nothing(run: Run, step: int) -> None:
    pass


def _as_it_is(run: Run, step: int, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    return x, y


@dataclass(frozen=True)
class Case:
    """A fault and what a monitor should say of it.

    Attributes:
        name: What is done.
        truths: Causes that are right.
        between: Done before a step's forward pass.
        spoil: Done to its batch.
        gradients: Done after its backward pass.
        full: Whether every step has the same batch.
        local: Whether it sits in the layer apart.
        only_adaptive: Whether it takes second moments.
        natural: The rate is too high from the start, and constant.
    """

    name: str
    truths: tuple[str, ...]
    between: Fault = _nothing
    spoil: Spoil = _as_it_is
    gradients: Fault = _nothing
    full: bool = False
    local: bool = False
    only_adaptive: bool = False
    natural: bool = False


def _ramp(run: Run, step: int) -> None:
    if step >= run.at:
        for group in run.optimizer.param_groups:
            group["lr"] *= 1.3


def _ramp_of_layer(run: Run, step: int) -> None:
    if step >= run.at:
        for group in run.optimizer.param_groups:
            group["lr"] *= 1.4 if group["name"] == "apart" else 1.0


def _raise(run: Run, step: int) -> None:
    if step == run.at:
        for group in run.optimizer.param_groups:
            group["lr"] *= (50, 100, 200)[run.seed % 3]


def _bad_batch(run: Run, step: int, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    if step != run.at:
        return x, y
    if y.is_floating_point():
        return x, y + 6 * torch.randn(y.shape, generator=run.draw())
    if x.is_floating_point() and run.seed % 3 == 2:
        return 8 * torch.randn(x.shape, generator=run.draw()), y
    # Every label another one.
    return x, (y + torch.randint(1, int(y.max()), y.shape, generator=run.draw())) % (
        int(run.setting.data()[1].max()) + 1
    )


def _switch(run: Run, step: int, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    if step < run.at:
        return x, y
    if not x.is_floating_point():
        return x, y.flip(0) if y.ndim == 1 else (y + 17) % (int(run.setting.data()[1].max()) + 1)
    if y.is_floating_point():
        return x, 3 - 2 * y
    order = torch.randperm(x[0].numel(), generator=run.draw())
    return 1.5 * x.flatten(1)[:, order].reshape(x.shape) - 0.5, y


@torch.no_grad()
def _change_weights(run: Run, step: int) -> None:
    """Noise on all weights, one layer drawn anew, or those of the beginning."""
    if step != run.at:
        return
    if run.seed % 3 == 0:
        for p in run.model.parameters():
            if p.ndim > 1:
                p.add_(1.0 * p.std() * torch.randn(p.shape, generator=run.draw()))
    elif run.seed % 3 == 1:
        for _, p in run.own():
            if p.ndim > 1:
                p.copy_(2 * p.std() * torch.randn(p.shape, generator=run.draw()))
    else:
        run.model.load_state_dict(run.setting.start(run.seed + 50).state_dict())


def _nan_gradient(run: Run, step: int) -> None:
    if step == run.at:
        for _, p in run.own():
            if p.grad is not None:
                p.grad[(0,) * p.ndim] = math.nan


def _nan_forward(run: Run, step: int) -> None:
    """An overflow in one layer, from a step on."""
    if step == run.at:
        modules = dict(run.model.named_modules())
        # A parameter of the network's own is in no module that could overflow.
        place = next(name for name in (run.apart, *layers(run.model)) if name in modules)

        def overflow(_: nn.Module, __: Any, outputs: Any) -> Any:
            if isinstance(outputs, tuple):
                return (outputs[0] * math.inf, *outputs[1:])
            return outputs * math.inf

        modules[place].register_forward_hook(overflow, prepend=True)


def _missed_unscale(run: Run, step: int) -> None:
    if step == run.at:
        for p in run.model.parameters():
            if p.grad is not None:
                p.grad.mul_((256, 1024, 4096)[run.seed % 3])


@torch.no_grad()
def _lose_state(run: Run, step: int) -> None:
    """Second moments forgotten, with the count kept; or momentum of another run."""
    if step != run.at:
        return
    for p in run.model.parameters():
        state = run.optimizer.state.get(p, {})
        if "exp_avg_sq" in state:
            state["exp_avg_sq"].mul_(1e-6)
        elif "momentum_buffer" in state and state["momentum_buffer"] is not None:
            noise = torch.randn(p.shape, generator=run.draw())
            state["momentum_buffer"].copy_(100 * state["momentum_buffer"].std() * noise)


def _fade(run: Run, step: int) -> None:
    """A layer all but without gradient, until its second moments have forgotten."""
    for group in run.optimizer.param_groups:
        group["betas"] = (0.9, 0.98)
    if step < run.at:
        for _, p in run.own():
            if p.grad is not None:
                p.grad.mul_(1e-4)


CASES: tuple[Case, ...] = (
    Case("all rates climb", ("above the limit",), between=_ramp),
    Case("one layer's rate climbs", ("above the limit",), between=_ramp_of_layer, local=True),
    Case("rates climb, full batch", ("above the limit",), between=_ramp, full=True),
    Case("constant rate, too high", ("above the limit",), natural=True),
    Case("rate raised", ("rate raised",), between=_raise),
    Case("rate raised, full batch", ("rate raised",), between=_raise, full=True),
    Case("bad batch", ("bad batch", "hard batch"), spoil=_bad_batch),
    Case("data switched", ("data switched",), spoil=_switch),
    Case("weights changed", ("weights changed",), between=_change_weights),
    Case("NaN in a gradient", ("numerical",), gradients=_nan_gradient, local=True),
    Case("overflow in a layer", ("numerical",), between=_nan_forward, local=True),
    Case("missed unscale", ("gradient scale",), gradients=_missed_unscale),
    Case("moments lost", ("state lost",), between=_lose_state),
    Case("stale moments", ("stale moments",), gradients=_fade, local=True, only_adaptive=True),
)


def begin(case: Case, setting: Setting, seed: int) -> Run:
    """A run before its first watched step."""
    model = setting.start(seed)
    apart = apart_in(model, seed)
    optimizer = setting.optimizer(setting.groups(model, apart), lr=setting.rate)
    if case.natural:
        for group in optimizer.param_groups:
            group["lr"] *= hot(setting, seed) or math.nan
    else:
        weights, state = trained(setting, seed)
        model.load_state_dict(weights)
        optimizer.load_state_dict(copy.deepcopy(state))
    return Run(setting, model, optimizer, seed, apart, CALM + seed % 5)


def batch_of(case: Case, run: Run, step: int) -> tuple[Tensor, Tensor]:
    """What a step is given."""
    x, y = run.setting.data()
    rows = run.setting.order(run.seed, 10_000 + step)
    if case.full:  # a set that is small enough; the same every time
        rows = torch.arange(min(len(y), FULL))
    return case.spoil(run, step, x[rows], y[rows])


@cache
def hot(setting: Setting, seed: int) -> float | None:
    """The first factor on the sound rate at which a run's loss spikes by itself, late enough."""
    for factor in _HOTTER:
        model = setting.start(seed)
        optimizer = setting.optimizer(
            setting.groups(model, apart_in(model, seed)), lr=factor * setting.rate
        )
        losses: list[float] = []
        x, y = setting.data()
        for step in range(NATURAL):
            rows = setting.order(seed, 10_000 + step)
            optimizer.zero_grad()
            loss = setting.loss(model(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if not math.isfinite(losses[-1]):
                break
            if step > 45 and spikes(losses):
                return factor
    return None


def spikes(losses: list[float]) -> bool:
    """Whether the last three losses are well above those before them: no single hard batch."""
    last = sorted(losses[-28:-3])
    middle = last[len(last) // 2]
    spread = sorted(abs(value - middle) for value in last)[len(last) // 2]
    limit = max(1.5 * middle, middle + 6 * spread, 0.05 * losses[0])
    return min(losses[-3:]) > limit
