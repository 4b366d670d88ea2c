"""Faults that make a loss spike, put into a training at a known step."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from spike_settings import Setting, apart_in, layer_of, layers, trained
from torch import Tensor, nn
from torch.optim import Optimizer

# Steps that are watched before a fault, and after it began.
CALM, AFTER = 42, 24
# Examples of a full batch.
FULL = 256


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
    """

    name: str
    truths: tuple[str, ...]
    between: Fault = _nothing
    spoil: Spoil = _as_it_is
    gradients: Fault = _nothing
    full: bool = False
    local: bool = False
    only_adaptive: bool = False


def _ramp(run: Run, step: int) -> None:
    if step >= run.at:
        for group in run.optimizer.param_groups:
            group["lr"] *= 1.3


def _ramp_of_layer(run: Run, step: int) -> None:
    if step >= run.at:
        for group in run.optimizer.param_groups:
            group["lr"] *= 1.4 if group["name"] == "apart" else 1.0


def _ramp_unseen(run: Run, step: int) -> None:
    """Steps grow, and the rate that the optimizer shows does not: as if the curvature grew."""
    kind = type(run.optimizer)
    if "factor" not in run.kept:
        plain: Any = getattr(kind.step, "__wrapped__")  # noqa: B009  (without hooks)

        def longer(self: Optimizer, closure: Any = None) -> Any:
            for group in self.param_groups:
                group["lr"] *= run.kept["factor"]
            try:
                return plain(self, closure)
            finally:
                for group in self.param_groups:
                    group["lr"] /= run.kept["factor"]

        hooked = Optimizer.profile_hook_step(longer)
        run.kept["factor"] = 1.0
        run.optimizer.__class__ = type(kind.__name__, (kind,), {"step": hooked})
    if step >= run.at:
        run.kept["factor"] *= 1.3


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
    """Next to no gradient until second moments have forgotten; then as before, and they are slow.

    Their count is set so that they are not corrected for their start.
    """
    for state in run.optimizer.state.values():
        if float(state["step"]) < 1e4:
            state["exp_avg_sq"].div_(1 - 0.999 ** float(state["step"]))
            state["step"].fill_(1e4)
    for group in run.optimizer.param_groups:
        group["lr"] *= 3 if step == 0 else 1  # near the limit, where six times the step matters
        group["betas"] = (0.9, 0.8 if step < run.at else 0.999)
    if step < run.at:
        for p in run.model.parameters():
            if p.grad is not None:
                p.grad.mul_(1e-3)


CASES: tuple[Case, ...] = (
    Case("all rates climb", ("above the limit",), between=_ramp),
    Case("one layer's rate climbs", ("above the limit",), between=_ramp_of_layer, local=True),
    Case("rates climb, full batch", ("above the limit",), between=_ramp, full=True),
    Case("rate climbs unseen", ("above the limit",), between=_ramp_unseen),
    Case("rate raised", ("rate raised",), between=_raise),
    Case("rate raised, full batch", ("rate raised",), between=_raise, full=True),
    Case("bad batch", ("bad batch", "hard batch"), spoil=_bad_batch),
    Case("data switched", ("data switched",), spoil=_switch),
    Case("weights changed", ("weights changed",), between=_change_weights),
    Case("NaN in a gradient", ("numerical",), gradients=_nan_gradient, local=True),
    Case("overflow in a layer", ("numerical",), between=_nan_forward, local=True),
    Case("missed unscale", ("gradient scale",), gradients=_missed_unscale),
    Case("moments lost", ("state lost",), between=_lose_state),
    Case("stale moments", ("stale moments",), gradients=_fade, only_adaptive=True),
)


def begin(case: Case, setting: Setting, seed: int) -> Run:
    """A run before its first watched step."""
    model = setting.start(seed)
    apart = apart_in(model, seed)
    optimizer = setting.optimizer(setting.groups(model, apart), lr=setting.rate)
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
