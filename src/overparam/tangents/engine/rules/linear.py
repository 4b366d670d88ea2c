"""Linear maps of rows: Y = β b + α X W."""

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from overparam.tangents.engine.operation import Layout, Operation
from overparam.tangents.engine.scale_shift import ScaleShift
from overparam.tangents.engine.step import Step, folded, name_of, unfolded


class Linear(Operation):
    """Y = α X W, with W of shape (I, O), as `nn.Linear` computes it with a transposed weight."""

    parameters = {"MmBackward0": (1,), "AddmmBackward0": (2,)}  # noqa: RUF012
    activations = {"MmBackward0": (0,), "AddmmBackward0": (1,)}  # noqa: RUF012
    projects = left_is_delta = takes_bias = fresh = True

    def __init__(self, node: Any, position: int, shape: torch.Size) -> None:
        super().__init__(node, position, shape)
        self.rows = self.output[0]
        self.alpha = _alpha(node)

    @cached_property
    def input(self) -> Tensor:
        """X, (rows, I)."""
        node = self.node
        x = node._saved_self if name_of(node) == "MmBackward0" else node._saved_mat1
        return x.detach()

    def data(self) -> Tensor:
        """X."""
        return self.input

    def paired(self, layout: Layout, scale: float, *, transposed: bool) -> bool:
        """Always."""
        return True

    def left(self, delta: Tensor, layout: Layout) -> Tensor:
        """δ by example, (examples, rows of one, O)."""
        return layout.split(delta)

    def right(self, layout: Layout) -> Tensor:
        """X by example, (examples, rows of one, I)."""
        x = layout.split(self.input)
        return x if self.alpha == 1 else x * self.alpha

    def gradient(self, delta: Tensor, layout: Layout) -> Tensor:
        """Σ_t x_t δ_tᵀ, (examples, I, O)."""
        return self.right(layout).to(delta.dtype).transpose(1, 2) @ self.left(delta, layout)

    def projected(self, delta: Tensor, directions: Tensor, *, transposed: bool) -> Tensor:
        """Xᵀ(Δ D), or Δᵀ(X D)."""
        one = Layout(1, self.rows)  # all rows as those of one example
        first, second = self.right(one)[0], self.left(delta, one)[0]
        if transposed:
            first, second = second, first
        return first.to(delta.dtype).T @ (second.to(delta.dtype) @ directions)

    @classmethod
    def passed(cls, step: Step) -> Tensor:
        """δ to α δ Wᵀ."""
        gradient = step.whole()
        alike = gradient.stride(1) == 0
        gradient = gradient[:, :1].contiguous() if alike else gradient
        rows = folded(gradient) @ step.node._saved_mat2.detach().mT
        alpha = _alpha(step.node)
        passed = unfolded(rows if alpha == 1 else rows * alpha, gradient)
        return passed.expand(-1, *step.shape) if alike else passed


class LinearBias(ScaleShift):
    """Y = β b + ...."""

    parameters = {"AddmmBackward0": (0,)}  # noqa: RUF012

    @cached_property
    def factor(self) -> float:
        """β."""
        return float(self.node._saved_beta)


def _alpha(node: Any) -> float:
    return float(getattr(node, "_saved_alpha", 1))
