"""Two-layer networks with a quadratic activation, whose AGOP has a closed form."""

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from overparam._checked import checked
from overparam._errors import expect
from overparam._switches import full_precision
from overparam.nets.seeding import generator


class QuadraticNetwork(nn.Module):
    """Two linear layers without biases around a square.

        f(x) = W₂ (W₁ x)^{∘2}

    Weights start uniform in ±1/√fan_in, as those of `torch.nn.Linear` do.

    Args:
        inputs: d ≥ 1.
        width: Number of hidden units ≥ 1.
        outputs: c ≥ 1.
        seed: A number, or a generator on the CPU.
        dtype: Of the weights; `None` is torch's default.

    Raises:
        ValueError: If a size is not a positive whole number.

    Example:
        >>> net = QuadraticNetwork(2, 1, outputs=1)
        >>> with torch.no_grad():
        ...     _ = net.first.weight.copy_(torch.tensor([[1.0, 2.0]]))
        ...     _ = net.second.weight.fill_(1.0)
        >>> net(torch.tensor([[1.0, 1.0]])).item()
        9.0
    """

    @checked
    def __init__(
        self,
        inputs: int,
        width: int,
        *,
        outputs: int,
        seed: int | torch.Generator = 0,
        dtype: torch.dtype | None = None,
    ) -> None:
        for name, size in (("inputs", inputs), ("width", width), ("outputs", outputs)):
            expect(
                isinstance(size, int) and size >= 1,
                f"QuadraticNetwork({name}=...)",
                "a positive whole number",
                repr(size),
            )
        super().__init__()
        draw = generator(seed)
        self.first = _linear(inputs, width, dtype)
        self.second = _linear(width, outputs, dtype)
        for layer in (self.first, self.second):
            bound = layer.in_features**-0.5
            nn.init.uniform_(layer.weight, -bound, bound, generator=draw)

    def forward(self, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n c"]:
        """Outputs for inputs whose last axis is d."""
        return self.second(self.first(x).square())


@checked
@full_precision()
def quadratic_agop(net: QuadraticNetwork, x: Float[Tensor, "n d"]) -> Float[Tensor, "d d"]:
    """Average gradient outer product of a quadratic network, without a Jacobian.

        G = 4 W₁ᵀ [ (W₂ᵀ W₂) ∘ (1/n) Σᵢ hᵢ hᵢᵀ ] W₁,      hᵢ = W₁ xᵢ

    A *mean* over inputs and a *sum* over outputs, as in `overparam.tangents.agop`, which takes
    any network. Differentiable by the weights.

    Args:
        net: The network.
        x: Inputs.

    Raises:
        ValueError: If `x` is not a matrix of as many columns as the network has inputs.

    Cost:
        2 n h (d + h) + 2 h d (h + d) flops for width h; h² numbers.

    Example:
        One hidden unit with weight 1 has f = x² and the derivative 2x:

        >>> net = QuadraticNetwork(1, 1, outputs=1)
        >>> with torch.no_grad():
        ...     _, _ = net.first.weight.fill_(1.0), net.second.weight.fill_(1.0)
        >>> quadratic_agop(net, torch.tensor([[3.0]])).item()
        36.0
    """
    hidden = _hidden(net, x, "quadratic_agop")
    first, second = net.first.weight, net.second.weight
    middle = (second.T @ second) * (hidden.T @ hidden) / len(x)
    return 4 * first.T @ middle @ first


@checked
def quadratic_agop_trace(net: QuadraticNetwork, x: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Trace of `quadratic_agop`, a regulariser: the mean squared norm of the input Jacobian.

        tr G = (4/n) Σᵢ hᵢᵀ [ (W₂ᵀ W₂) ∘ (W₁ W₁ᵀ) ] hᵢ

    Added to a loss it acts as weight decay does in learning modular arithmetic, without naming
    the weights. Differentiable, once.

    Args:
        net: The network.
        x: Inputs.

    Raises:
        ValueError: If `x` is not a matrix of as many columns as the network has inputs.

    Cost:
        2 h² (n + c + d) flops for width h, as many again for its gradient; no Jacobian.

    Example:
        >>> net, x = QuadraticNetwork(3, 8, outputs=2), torch.eye(3)
        >>> bool(torch.isclose(quadratic_agop_trace(net, x), quadratic_agop(net, x).trace()))
        True

    References:
        Mallinar et al. (2025), arXiv:2407.20199, appendix on regularisation by the AGOP.
    """
    hidden = _hidden(net, x, "quadratic_agop_trace")
    return cast(Tensor, _Trace.apply(net.first.weight, net.second.weight, hidden))


class _Trace(torch.autograd.Function):
    """(4/n) Σ_kl (HᵀH)_kl (W₂ᵀW₂)_kl (W₁W₁ᵀ)_kl, with its gradient in closed form.

    The three factors are symmetric, which autograd cannot know: it would do twice the work.
    """

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, hidden: Tensor) -> Tensor:
        outer, inner, gram = first @ first.T, second.T @ second, hidden.T @ hidden
        ctx.save_for_backward(first, second, hidden, outer, inner, gram)
        return 4 / len(hidden) * (gram * inner * outer).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        first, second, hidden, outer, inner, gram = ctx.saved_tensors
        scale = 8 / len(hidden) * grads[0]
        return (
            scale * ((gram * inner) @ first),
            scale * (second @ (gram * outer)),
            scale * (hidden @ (inner * outer)),
        )


def _linear(inputs: int, outputs: int, dtype: torch.dtype | None) -> nn.Linear:
    """A layer without bias, its weights not set: torch would draw them from its own generator."""
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=False, dtype=dtype)
    return cast(nn.Linear, layer)


def _hidden(net: QuadraticNetwork, x: Tensor, where: str) -> Tensor:
    """Values of the hidden units before the square."""
    expect(
        isinstance(net, QuadraticNetwork),
        f"{where}(net=...)",
        "a QuadraticNetwork",
        type(net).__name__,
        hint="`overparam.tangents.agop` takes any network.",
        error=TypeError,
    )
    expect(
        isinstance(x, Tensor) and x.ndim == 2 and x.shape[1] == net.first.in_features and len(x),
        f"{where}(x=...)",
        f"a batch of vectors of {net.first.in_features} numbers",
        f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__,
    )
    return net.first(x)
