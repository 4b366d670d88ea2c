"""MaSS: stochastic gradient descent with momentum that accelerates under interpolation."""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT

from overparam._checked import checked
from overparam._deprecated import moved
from overparam._errors import expect
from overparam._numbers import described, is_number
from overparam._user_line import user_level
from overparam.optim.mass_step import Step, coefficients


class MaSS(Optimizer):
    """Momentum-added stochastic solver: Nesterov's method with a compensation term.

        w' = u − η₁ g(u)
        u' = w' + γ (w' − w) + η₂ g(u)

    with η₁ the learning rate, γ = (1−α)/(1+α) and η₂ = η₁(1 − 1/κ̃)/(1+α). With η₂ = 0 this is
    SGD with Nesterov momentum, which in general does not accelerate with mini-batches, and
    diverges at rates at which SGD converges. The compensation, whose sign is *plus*, makes it
    stable at SGD's rates and faster, wherever the model can fit the data.

    The parameters hold u, where the gradient is taken, as with torch's Nesterov; `main_params`
    gives w. What is computed is `mass_step`: one buffer per parameter in the units of the
    gradient, so a change of the learning rate acts at once, on past gradients too.

    Schedulers that cycle the momentum (`OneCycleLR`, `CyclicLR`) work: they write γ into the
    groups as ``momentum``, which then counts in place of `alpha`; `None`, as at first, leaves it
    to `alpha`.

    Args:
        params: Parameters, (name, parameter) pairs or groups of them; every option can be set
            per group.
        lr: η₁ ≥ 0, on the scale of SGD's; a number or a tensor of one element.
        alpha: α in (0, 1): the momentum is (1−α)/(1+α), 0.905 at the default.
        kappa_t: κ̃ ≥ 1: the larger, the less momentum. 2 or 3 for large batches and smooth
            training, 8 to 12 for small batches and large rates. Too small a value can diverge,
            too large a one is only slower. 1 is Nesterov's method, 1/α plain SGD.
        weight_decay: Coupled: added to the gradient times the parameter.
        maximize: Whether to go up.
        foreach: Use one kernel for many tensors; `None` means on an accelerator.
        fused: Use one kernel for the whole update; excludes `foreach`.
        differentiable: Let autograd see the step; excludes `foreach` and `fused`.

    State:
        momentum_buffer: Per parameter that has had a gradient, in its shape and dtype.

    Raises:
        ValueError: An option out of range or NaN.
        RuntimeError: Options that exclude each other.

    Cost:
        Time and memory of `torch.optim.SGD` with Nesterov momentum on the same path.

    Example:
        On f(w) = w²/2 with γ = ½ and κ̃ = 2 the buffer takes a quarter of each gradient:

        >>> w = torch.nn.Parameter(torch.tensor(1.0))
        >>> optimizer = MaSS([w], lr=0.5, alpha=1 / 3, kappa_t=2.0)
        >>> (w**2 / 2).backward()
        >>> optimizer.step()
        >>> round(w.item(), 4), round(optimizer.state[w]["momentum_buffer"].item(), 4)
        (0.4375, 0.25)

    References:
        Liu, Belkin (2020), arXiv:1810.13395: the method, there with the three states w, u, v.
        That it is Nesterov's with dampening (1 − 1/κ̃)/(1−α) is ours; so is the buffer, which
        keeps in float32 the digits that a second copy of the weights loses.
    """

    _shown = False  # inside `main_params`

    @checked
    def __init__(
        self,
        params: ParamsT,
        lr: Tensor | float = 0.1,
        alpha: float = 0.05,
        kappa_t: float = 3.0,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "alpha": alpha,
            "kappa_t": kappa_t,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "fused": fused,
            "differentiable": differentiable,
            # Schedulers that cycle the momentum look for it, and write it into the groups.
            "momentum": None,
        }
        _expect_options(defaults)
        super().__init__(params, defaults)
        # A GradScaler leaves unscaling to optimizers that say so.
        if fused:
            self._step_supports_amp_scaling = True

    @classmethod
    @checked
    def from_eta_gamma(
        cls, params: ParamsT, eta1: float, eta2: float, gamma: float, **options: Any
    ) -> "MaSS":
        """The optimizer in the paper's first parametrisation.

            α = (1−γ)/(1+γ),    1/κ̃ = 1 − (1+α) η₂/η₁

        Args:
            params: As for `MaSS`.
            eta1: η₁ > 0, the learning rate.
            eta2: η₂ in [0, η₁/(1+α)), the compensation; enters with a plus sign.
            gamma: γ in (0, 1), the momentum.
            options: Further options of `MaSS`.

        Example:
            >>> w = torch.nn.Parameter(torch.zeros(1))
            >>> group = MaSS.from_eta_gamma([w], 0.5, 0.25, 0.6).param_groups[0]
            >>> group["alpha"], round(group["kappa_t"], 6)
            (0.25, 2.666667)
        """
        where = "MaSS.from_eta_gamma"
        expect(0 < eta1 < math.inf, f"{where}(eta1=...)", "a positive number", eta1)
        expect(0 < gamma < 1, f"{where}(gamma=...)", "a number in (0, 1)", gamma)
        alpha = (1 - gamma) / (1 + gamma)
        bound = eta1 / (1 + alpha)
        expect(0 <= eta2 < bound, f"{where}(eta2=...)", f"a number in [0, {bound:.6g})", eta2)
        return cls(params, eta1, alpha, 1 / (1 - eta2 / bound), **options)

    @classmethod
    @checked
    def from_nesterov(
        cls,
        params: ParamsT,
        lr: Tensor | float,
        momentum: float,
        kappa_t: float = 3.0,
        **options: Any,
    ) -> "MaSS":
        """The optimizer that replaces `SGD(lr=lr, momentum=momentum, nesterov=True)`.

        With ``kappa_t=1`` it is the same algorithm. `load_state_dict` takes the state of such
        an `SGD`.

        Args:
            params: As for `MaSS`.
            lr: The learning rate.
            momentum: γ in (0, 1).
            kappa_t: Strength of the compensation.
            options: Further options of `MaSS`.

        Example:
            >>> w = torch.nn.Parameter(torch.zeros(1))
            >>> MaSS.from_nesterov([w], lr=0.1, momentum=0.6).param_groups[0]["alpha"]
            0.25
        """
        expect(0 < momentum < 1, "MaSS.from_nesterov(momentum=...)", "a number in (0, 1)", momentum)
        return cls(params, lr, (1 - momentum) / (1 + momentum), kappa_t, **options)

    @classmethod
    def for_model(cls, *args: Any, **kwargs: Any) -> "MaSS":
        """The old name of `overparam.diagnosis.mass_for_model`."""
        expect(
            "kind" not in kwargs, "MaSS.for_model(kind=...)", f"no kind: it makes a {cls.__name__}",
            described(kwargs.get("kind")), hint="call for_model of the class that you mean.",
            error=TypeError,
        )  # fmt: skip
        made = moved("MaSS.for_model", "overparam.diagnosis.mass_for_model")
        return made(*args, **kwargs, kind=cls)

    @checked
    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, its options checked like the constructor's."""
        if isinstance(param_group, dict):
            options = {**self.defaults, **param_group}
            _expect_options(options)
            product = options["alpha"] * options["kappa_t"]
            if product > 1 + 1e-12:
                warnings.warn(
                    f"MaSS: alpha * kappa_t is {product:.3g}. Above 1 the momentum acts against "
                    "the gradient; at 1 the method is plain SGD.",
                    stacklevel=user_level(),  # behind the checks of the arguments
                )
        super().add_param_group(param_group)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            foreign = "alpha" not in group
            for name, value in self.defaults.items():
                group.setdefault(name, value)
            if foreign:
                self._adopt(group)

    def _adopt(self, group: dict[str, Any]) -> None:
        """Take over a group of SGD, whose buffer holds gradients undampened."""
        for name in ("momentum", "dampening", "nesterov"):
            group.pop(name, None)
        share = coefficients(group["alpha"], group["kappa_t"])[1]
        for p in group["params"]:
            buffer = self.state[p].get("momentum_buffer") if p in self.state else None
            if buffer is None:
                self.state.pop(p, None)
            else:
                self.state[p]["momentum_buffer"] = buffer * share

    def _init_group(
        self,
        group: dict[str, Any],
        params: list[Tensor],
        grads: list[Tensor],
        buffers: list[Tensor],
    ) -> None:
        """Collect what a step needs; torch.compile knows this method by its name."""
        for p in group["params"]:
            if p.grad is not None:
                state = self.state[p]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(p.grad)
                params.append(p)
                grads.append(p.grad)
                buffers.append(state["momentum_buffer"])

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Update every parameter that has a gradient; return the closure's value.

        Args:
            closure: Re-evaluates the model and returns the loss; runs with gradients enabled.

        Raises:
            RuntimeError: Inside `main_params`, since leaving that would undo the step.
        """
        expect(
            not self._shown, "MaSS.step()", "the parameters that are trained",
            "those of main_params(), which are put back on leaving it",
            hint="leave `with optimizer.main_params():` before the step.", error=RuntimeError,
        )  # fmt: skip
        loss = None
        if closure is not None:
            expect(
                callable(closure), "MaSS.step(closure=...)", "a function, or None",
                described(closure), error=TypeError,
            )  # fmt: skip
            with torch.enable_grad():
                loss = closure()
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            steps: list[Step] = []
            for group in self.param_groups:
                params: list[Tensor] = []
                grads: list[Tensor] = []
                buffers: list[Tensor] = []
                self._init_group(group, params, grads, buffers)
                step = Step(
                    params, grads, buffers,
                    lr=group["lr"], alpha=alpha_of(group), kappa_t=group["kappa_t"],
                    weight_decay=group["weight_decay"], maximize=group["maximize"],
                    foreach=False if group["differentiable"] else group["foreach"],
                    fused=group["fused"],
                    grad_scale=getattr(self, "grad_scale", None),
                    found_inf=getattr(self, "found_inf", None),
                )  # fmt: skip
                step.expect_possible()
                steps.append(step)
            # Only now: what one group is refused must not leave the others a step ahead.
            for step in steps:
                step.take()
        return loss

    @torch.no_grad()
    def reset_momentum(self) -> None:
        """Forget past gradients, as the paper's authors do at each drop of the learning rate."""
        for state in self.state.values():
            state["momentum_buffer"].detach_().zero_()

    @contextmanager
    def main_params(self) -> Iterator[None]:
        """Inside, the parameters hold w, the method's output, in place of u.

            w = u + lr γ buffer

        with the group's present learning rate. That of the last step is meant: use this before
        `scheduler.step()`. On leaving, the parameters are as before, bit for bit. Inside another
        one it changes nothing: they hold w already. A step inside raises.

        Cost:
            One copy of the parameters.

        Example:
            >>> u = torch.nn.Parameter(torch.tensor(1.0))
            >>> optimizer = MaSS([u], lr=0.5, alpha=1 / 3, kappa_t=2.0)
            >>> (u**2 / 2).backward()
            >>> optimizer.step()
            >>> with optimizer.main_params():
            ...     print(round(u.item(), 4))  # 1 − lr · 1
            0.5
        """
        if self._shown:
            yield
            return
        held: list[tuple[Tensor, Tensor]] = []
        self._shown = True
        try:
            with torch.no_grad():
                for group in self.param_groups:
                    gamma, _ = coefficients(alpha_of(group), group["kappa_t"])
                    for p in group["params"]:
                        if p in self.state:
                            held.append((p, p.detach().clone()))
                            buffer = self.state[p]["momentum_buffer"]
                            p.add_(buffer, alpha=group["lr"] * gamma)
            yield
        finally:
            self._shown = False
            with torch.no_grad():
                for p, value in held:
                    p.copy_(value)


def alpha_of(group: dict[str, Any]) -> float:
    """α of a group of parameters: that of its momentum, where a scheduler has written one."""
    momentum = group.get("momentum")
    return group["alpha"] if momentum is None else (1 - momentum) / (1 + momentum)


def _expect_options(options: dict[str, Any]) -> None:
    """Raise for options that are out of range or exclude each other."""
    for name in ("lr", "alpha", "kappa_t", "weight_decay"):
        value = options[name]
        number = is_number(value) or (name == "lr" and isinstance(value, Tensor))
        expect(number, f"MaSS({name}=...)", "a number", described(value), error=TypeError)
    lr, alpha, kappa_t = options["lr"], options["alpha"], options["kappa_t"]
    expect(
        not isinstance(lr, Tensor) or lr.numel() == 1,
        "MaSS(lr=...)",
        "a tensor of one element",
        f"one of shape {tuple(lr.shape)}" if isinstance(lr, Tensor) else lr,
    )
    rate = float(lr.detach()) if isinstance(lr, Tensor) else lr
    expect(0 <= rate < math.inf, "MaSS(lr=...)", "a finite number ≥ 0", rate)
    expect(
        0 < alpha < 1,
        "MaSS(alpha=...)",
        "a number in (0, 1)",
        alpha,
        hint="α = (1−γ)/(1+γ) for a momentum γ, 0.05 for the usual 0.9.",
    )
    expect(
        1 <= kappa_t < math.inf,
        "MaSS(kappa_t=...)",
        "a finite number ≥ 1",
        kappa_t,
        hint="1 is Nesterov's method; below, it would be less stable still.",
    )
    decay = options["weight_decay"]
    expect(0 <= decay < math.inf, "MaSS(weight_decay=...)", "a finite number ≥ 0", decay)
    paths = [name for name in ("differentiable", "foreach", "fused") if options[name]]
    expect(
        len(paths) < 2,
        "MaSS(...)",
        "at most one of differentiable, foreach and fused",
        " and ".join(paths),
        error=RuntimeError,
    )
