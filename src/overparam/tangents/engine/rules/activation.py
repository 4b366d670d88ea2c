"""Elementwise functions of one variable."""

from functools import cached_property

import torch
from torch import Tensor

from overparam.tangents.engine.operation import Operation
from overparam.tangents.engine.scale_shift import ScaleShift
from overparam.tangents.engine.step import Step, elementwise

_NAMES = (
    "LeakyRelu", "Elu", "Gelu", "Silu", "Mish", "Softplus", "Tanh", "Sigmoid", "Hardtanh",
    "Hardswish", "Hardsigmoid", "LogSigmoid", "Erf", "Exp", "Sin", "Cos", "Abs", "Neg",
    "Pow", "Sqrt", "Rsqrt", "Reciprocal", "Log",
)  # fmt: skip


class Activation(Operation):
    """Y = φ(X)."""

    activations = {f"{name}Backward0": (0,) for name in _NAMES}  # noqa: RUF012

    @classmethod
    def passed(cls, step: Step) -> Tensor | None:
        """δ ∘ φ'(X)."""
        return elementwise(step)


class Rectifier(Operation):
    """Y = max(X, 0)."""

    activations = {"ReluBackward0": (0,)}  # noqa: RUF012

    @classmethod
    def passed(cls, step: Step) -> Tensor:
        """δ where the result is positive, in one pass over memory."""
        result = step.node._saved_result.detach().reshape(step.gradient.shape[1:])
        out = step.product()
        torch.ops.aten.threshold_backward.grad_input(step.gradient, result, 0, grad_input=out)
        return out.view(-1, *step.shape)


class LearnedSlope(ScaleShift):
    """Y = max(X, 0) + w ∘ min(X, 0)."""

    parameters = {"PreluKernelBackward0": (1,)}  # noqa: RUF012
    activations = {"PreluKernelBackward0": (0,)}  # noqa: RUF012

    @cached_property
    def factor(self) -> Tensor:
        """The negative part."""
        return self.node._saved_self.detach().clamp(max=0)

    @classmethod
    def passed(cls, step: Step) -> Tensor | None:
        """δ, times the slope where X is negative."""
        return elementwise(step)
