"""One step of MaSS on lists of tensors: loop over tensors, foreach and fused."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, _default_to_fused_or_foreach
from torch.optim.sgd import sgd

from overparam._checked import checked
from overparam._errors import expect
from overparam._numbers import described, is_number
from overparam._types import AtLeastOne, Fraction

_kernels: Any = torch  # its foreach kernels, which it types as private


@checked
def mass_coefficients(alpha: Fraction, kappa_t: AtLeastOne) -> tuple[float, float]:
    """Decay of MaSS's buffer, and the share of each gradient that enters it.

        γ = (1−α)/(1+α),    1−τ = (1/κ̃ − α)/(1−α)

    The share is 1 for κ̃ = 1 (Nesterov's method), 0 for ακ̃ = 1 (no momentum), and negative
    beyond.

    Args:
        alpha: α in (0, 1).
        kappa_t: κ̃ ≥ 1.

    Raises:
        ValueError: A number out of its range.

    Example:
        >>> mass_coefficients(0.2, 1.0), mass_coefficients(0.25, 4.0)
        ((0.6666666666666667, 1.0), (0.6, 0.0))
    """
    return coefficients(alpha, kappa_t)


def coefficients(alpha: float, kappa_t: float) -> tuple[float, float]:
    """As `mass_coefficients`, unchecked: for every step."""
    if alpha == 1:  # a momentum of 0, which a scheduler may set
        return 0.0, 0.0
    return (1 - alpha) / (1 + alpha), (1 / kappa_t - alpha) / (1 - alpha)


def mass_step(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    buffers: Sequence[Tensor],
    *,
    lr: float | Tensor,
    alpha: float,
    kappa_t: float,
    weight_decay: float = 0.0,
    maximize: bool = False,
    foreach: bool | None = None,
    fused: bool | None = None,
    grad_scale: Tensor | None = None,
    found_inf: Tensor | None = None,
) -> None:
    """One step of MaSS, in place on parameters and buffers.

        g ← ±g + wd·p
        buffer ← γ buffer + (1−τ) g
        p ← p − lr (g + γ buffer)

    with γ and 1−τ of `mass_coefficients`. Gradients are read, never written, except that the
    fused kernel divides them by `grad_scale`, as torch's own do. The three paths are the
    same algebra on the same buffers, so one may change between steps.

    Args:
        params: Tensors to update.
        grads: Their gradients; sparse ones on every path but the fused.
        buffers: Momentum in the units of the gradient: zeros before the first step.
        lr: Learning rate, a number or a tensor of one element.
        alpha: α in (0, 1).
        kappa_t: κ̃ ≥ 1.
        weight_decay: Added to the gradient times the parameter, before the momentum.
        maximize: Whether to go up.
        foreach: One kernel over many tensors. `None` chooses as torch's optimizers do: on an
            accelerator.
        fused: One kernel for the whole update, floating-point dense tensors only.
        grad_scale: Of a `GradScaler`; fused only.
        found_inf: Of a `GradScaler`: skip the step if not 0; fused only.

    Raises:
        TypeError, ValueError: What is no tensor, tensors that do not belong together, or a
            number out of its range. NaN among gradients is passed on.
        RuntimeError: The fused path with sparse or complex tensors, a scale without it, or
            weight decay of sparse gradients.

    Cost:
        11 reads and writes per number, 5 when fused, as torch's SGD with Nesterov momentum. No
        memory, except a copy of one gradient in the loop over tensors, and of all of them on
        the foreach path with weight decay or `maximize`.

    Example:
        The first step from zero buffers, with α = 0.2 and κ̃ = 1, goes lr·(1 + ⅔)·g:

        >>> p, buffer = torch.zeros(1), torch.zeros(1)
        >>> mass_step([p], [torch.ones(1)], [buffer], lr=0.3, alpha=0.2, kappa_t=1.0)
        >>> p, buffer
        (tensor([-0.5000]), tensor([1.]))
    """
    for name, value in (("params", params), ("grads", grads), ("buffers", buffers)):
        _expect_tensors(value, name)
    params, grads, buffers = list(params), list(grads), list(buffers)
    _expect_fit(params, grads, "grads")
    _expect_fit(params, buffers, "buffers")
    tensor = isinstance(lr, Tensor) and lr.numel() == 1 and not (lr.is_complex() or lr.is_meta)
    _expect_number("lr", tensor or is_number(lr), lr, "a number, or a tensor of one element")
    _expect_number("alpha", is_number(alpha) and 0 < alpha < 1, alpha, "a number in (0, 1)")
    _expect_number("kappa_t", is_number(kappa_t) and kappa_t >= 1, kappa_t, "a number ≥ 1")
    finite = is_number(weight_decay) and 0 <= weight_decay < math.inf
    _expect_number("weight_decay", finite, weight_decay, "a finite number ≥ 0")
    for name, flag in (("maximize", maximize), ("foreach", foreach), ("fused", fused)):
        _expect_number(name, flag is None or isinstance(flag, bool), flag, "True or False")
    step = Step(
        params, grads, buffers, lr, alpha, kappa_t, float(weight_decay), maximize, foreach, fused,
        grad_scale, found_inf,
    )  # fmt: skip
    step.expect_possible()
    step.take()


class Step(NamedTuple):
    """A step of `mass_step` before it is taken; its numbers are not looked at any more.

    Twice, so that of several groups of parameters none moves where another cannot.
    """

    params: list[Tensor]
    grads: list[Tensor]
    buffers: list[Tensor]
    lr: float | Tensor
    alpha: float
    kappa_t: float
    weight_decay: float
    maximize: bool
    foreach: bool | None
    fused: bool | None
    grad_scale: Tensor | None
    found_inf: Tensor | None

    def expect_possible(self) -> None:
        """Raise for what the path that was chosen cannot do."""
        if self.fused:
            _expect_fusible(self.params, self.grads)
            return
        expect(
            self.grad_scale is None and self.found_inf is None,
            "mass_step(grad_scale=...)",
            "gradients that are unscaled already, for these are not fused",
            "a scale",
            hint="pass fused=True for every parameter group or for none.",
            error=RuntimeError,
        )
        expect(
            not (self.weight_decay and any(g.is_sparse for g in self.grads)),
            "mass_step(weight_decay=...)",
            "0 for sparse gradients",
            self.weight_decay,
            hint="give the embedding a parameter group with weight_decay=0.",
            error=RuntimeError,
        )

    def take(self) -> None:
        """The step."""
        params, grads, buffers, lr = self.params, self.grads, self.buffers, self.lr
        if not params:
            return
        foreach = self.foreach
        if foreach is None and self.fused is None:
            _, foreach = _default_to_fused_or_foreach(params, differentiable=False, use_fused=False)
        rate: Any = lr.squeeze() if isinstance(lr, Tensor) and lr.ndim else lr
        gamma, share = coefficients(self.alpha, self.kappa_t)
        if self.fused:
            sgd(
                params, grads, cast("list[Tensor | None]", buffers), fused=True, nesterov=True,
                lr=rate, momentum=gamma, dampening=1 - share, weight_decay=self.weight_decay,
                maximize=self.maximize, grad_scale=self.grad_scale, found_inf=self.found_inf,
            )  # fmt: skip
            return
        # There are no sparse kernels for many tensors at once.
        update = _foreach if foreach and not any(g.is_sparse for g in grads) else _single
        update(params, grads, buffers, rate, gamma, share, self.weight_decay, self.maximize)


def _expect_number(name: str, holds: bool, value: Any, words: str) -> None:
    error = ValueError if is_number(value) else TypeError
    expect(holds, f"mass_step({name}=...)", words, described(value), error=error)


def _expect_tensors(values: Any, name: str) -> None:
    """Raise unless it is a sequence of tensors that can be computed with."""
    where, words = f"mass_step({name}=...)", "a sequence of tensors"
    known = isinstance(values, (list, tuple)) and all(isinstance(v, Tensor) for v in values)
    expect(known, where, words, described(values), error=TypeError)
    expect(not any(v.is_meta for v in values), where, words, "one on no device (meta)")


def _expect_fit(params: list[Tensor], others: list[Tensor], name: str) -> None:
    """Raise unless there is one for every parameter, in its shape, dtype and place."""
    where, words = f"mass_step({name}=...)", "one for each parameter, in its shape and dtype"
    expect(len(params) == len(others), where, words, f"{len(others)} for {len(params)}")
    for p, other in zip(params, others, strict=True):
        same = (p.shape, p.dtype, p.device) == (other.shape, other.dtype, other.device)
        expect(same, where, words, f"{described(other)} for {described(p)}")


def _expect_fusible(params: list[Tensor], grads: list[Tensor]) -> None:
    """Raise for tensors that the fused kernel does not take."""
    for p, g in zip(params, grads, strict=True):
        expect(
            p.is_floating_point() and not g.is_sparse,
            "mass_step(fused=True)",
            "real floating-point parameters with dense gradients",
            f"{p.dtype}" + (" with a sparse gradient" if g.is_sparse else ""),
            hint="leave out `fused` for these.",
            error=RuntimeError,
        )


def _single(
    params: list[Tensor], grads: list[Tensor], buffers: list[Tensor],
    lr: Any, gamma: float, share: float, weight_decay: float, maximize: bool,
) -> None:  # fmt: skip
    tracked = getattr(lr, "requires_grad", False)
    for p, g, buffer in zip(params, grads, buffers, strict=True):
        # Duplicate indices would be appended to a sparse buffer at every step.
        g = g.coalesce() if g.is_sparse else g
        g = -g if maximize else g
        if weight_decay:
            g = g.add(p, alpha=weight_decay)
        buffer.mul_(gamma).add_(g, alpha=share)
        direction = g.add(buffer, alpha=gamma)
        if tracked or _beside(lr, p):
            p.addcmul_(direction, lr, value=-1)
        else:
            p.add_(direction, alpha=-lr)


def _beside(lr: Any, p: Tensor) -> bool:
    """Whether a rate is on the accelerator of a parameter: a number would be waited for."""
    return isinstance(lr, Tensor) and not lr.is_cpu and lr.device == p.device


def _foreach(
    params: list[Tensor], grads: list[Tensor], buffers: list[Tensor],
    lr: Any, gamma: float, share: float, weight_decay: float, maximize: bool,
) -> None:  # fmt: skip
    lists = cast("list[list[Tensor | None]]", [params, grads, buffers])
    for members, _ in Optimizer._group_tensors_by_device_and_dtype(lists).values():
        p, g, buffer = cast("list[list[Tensor]]", members)
        if maximize:
            g = _kernels._foreach_neg(g)
        if weight_decay:
            g = _kernels._foreach_add(g, p, alpha=weight_decay)
        _kernels._foreach_mul_(buffer, gamma)
        _kernels._foreach_add_(buffer, g, alpha=share)
        # Added one by one: their sum would be a temporary as large as the model, whose page
        # faults make the step two to three times as slow on a CPU.
        for change, rate in ((g, lr), (buffer, lr * gamma)):
            compiling = isinstance(rate, Tensor) and torch.compiler.is_compiling()
            if compiling or _beside(rate, p[0]):
                _kernels._foreach_add_(p, _kernels._foreach_mul(change, -rate))
            else:
                _kernels._foreach_add_(p, change, alpha=-rate)
