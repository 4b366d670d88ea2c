"""RMS normalisation: composed of elementwise operations, and as one operation."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from overparam.tangents.engine.step import name_of

L, N = nn.Linear, nn.RMSNorm
EPS = 1e-5


class FusedNorm(torch.autograd.Function):
    """What an accelerator has in one operation, with what that keeps and is called."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor | None) -> Tensor:
        rstd = (x.square().mean(-1, keepdim=True) + EPS).rsqrt()
        ctx.save_for_backward(x, gain, rstd)
        ctx._saved_input, ctx._saved_weight, ctx._saved_result1 = x, gain, rstd
        ctx._saved_normalized_shape = x.shape[-1:]
        return x * rstd if gain is None else x * rstd * gain

    @staticmethod
    def backward(ctx: Any, *deltas: Tensor) -> tuple[Tensor, Tensor | None]:
        x, gain, rstd = ctx.saved_tensors
        g = deltas[0] * rstd if gain is None else deltas[0] * rstd * gain
        x = x * rstd
        rows = None if gain is None else (deltas[0] * x).flatten(0, -2).sum(0)
        return g - x * (g * x).mean(-1, keepdim=True), rows


FusedNorm._backward_cls.__name__ = "FusedRmsNormBackward0"


class Fused(nn.Module):
    def __init__(self, width: int, gain: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width)) if gain else None

    def forward(self, x: Tensor) -> Tensor:
        return FusedNorm.apply(x, self.weight)


def network(norm: nn.Module, *first: nn.Module) -> nn.Module:
    return nn.Sequential(L(4, 6), *first, norm, nn.Tanh(), L(6, 5), nn.Flatten(), nn.LazyLinear(3))


@pytest.mark.parametrize("shape", [(5, 4), (5, 3, 4)])
@pytest.mark.parametrize(
    "norm", [lambda: N(6), lambda: N(6, elementwise_affine=False), lambda: Fused(6),
             lambda: Fused(6, gain=False)],
)  # fmt: skip
def test_is_what_autograd_gives(held_to_autograd, norm, shape):
    held_to_autograd(lambda: network(norm()), *shape, swept=True)
    held_to_autograd(lambda: network(norm(), norm(), nn.ReLU()), *shape, swept=True)


def test_the_stand_in_is_known_by_the_name_of_the_operation():
    x = torch.randn(2, 6, requires_grad=True)
    node: Any = Fused(6)(x).grad_fn
    assert name_of(node).endswith("FusedRmsNormBackward0")


def test_where_it_is_one_operation_it_keeps_what_the_rule_reads():
    if not torch.cuda.is_available():
        pytest.skip("torch composes it on this device")
    x = torch.randn(2, 3, 6, requires_grad=True, device="cuda")
    node: Any = N(6, device="cuda")(x).grad_fn
    assert node.name() == "FusedRmsNormBackward0"
    assert node._saved_result1.shape == (2, 3, 1)
    assert tuple(node._saved_normalized_shape) == (6,)
    assert len(node.next_functions) == 2
