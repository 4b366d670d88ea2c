"""Gradients of parts of a training set against each other: alignment and clean dominance."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.func import grad, jvp, vmap

from overparam._errors import expect
from overparam._model import (
    as_function,
    expect_deterministic,
    expect_inputs,
    expect_outputs,
    n_examples,
    trainable,
    undisturbed,
)
from overparam._types import Inputs, Loss, Params


@dataclass(frozen=True)
class SegmentGradients:
    """Gradients of the segments of a set.

    Attributes:
        norms: Length of each segment's gradient.
        cosines: Cosine between the gradients of each two segments; `nan` for a zero one.
    """

    norms: Float[Tensor, " s"]
    cosines: Float[Tensor, "s s"]


def gradient_alignment(model: nn.Module, x: Inputs, y: Tensor, loss: Loss) -> Float[Tensor, " n"]:
    """Inner product of each sample's gradient with that of the whole set.

        aᵢ = ⟨∇ℓᵢ, (1/n) Σⱼ ∇ℓⱼ⟩

    A gradient step changes the loss of sample i by −lr · aᵢ to first order. Samples with a
    wrong label have a negative one early in training: learning the others makes them worse.
    It is the one score that works before and in the first epochs of training; later the mean
    loss is as good. ℓᵢ is the loss called on sample i alone, so its reduction does not matter.

    Args:
        model: Any module with deterministic layers (dropout, batch norm: evaluation mode).
        x: Batch of inputs, the whole set whose gradient is meant.
        y: Targets.
        loss: `loss(outputs, targets)`.

    Returns:
        One number per sample; a low one is suspicious.

    Raises:
        ValueError: Non-finite or empty input, a layer that mixes examples or is random.

    Cost:
        One backward pass and one forward pass with tangents. No gradient per sample is formed.

    Example:
        Three samples agree, the fourth, mislabelled, opposes them:

        >>> model = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.zeros_(model.weight)
        >>> x, y = torch.ones(4, 1), torch.tensor([[1.0], [1.0], [1.0], [-1.0]])
        >>> gradient_alignment(model, x, y, nn.functional.mse_loss)
        tensor([ 2.,  2.,  2., -2.])

    References:
        Liu, Zhu, Belkin (2023), arXiv:2306.02533: gradients of mislabelled samples oppose
        those of clean ones. The score is ours.
    """
    params, function, outputs, slopes = _at("gradient_alignment", model, x, y, loss)
    with undisturbed(model):
        leaves = {name: p.detach().requires_grad_() for name, p in params.items()}
        mean = torch.autograd.grad(
            function(leaves, x), list(leaves.values()), slopes / len(slopes), materialize_grads=True
        )
        direction = dict(zip(params, mean, strict=True))
        values = {name: p.detach() for name, p in params.items()}
        change: Tensor = jvp(lambda p: function(p, x), (values,), (direction,))[1]
    return (slopes * change).flatten(1).sum(1).detach() if outputs.ndim > 1 else slopes * change


def segment_gradients(
    model: nn.Module, x: Inputs, y: Tensor, loss: Loss, segments: Int[Tensor, " n"]
) -> SegmentGradients:
    """Lengths of the gradients of the segments of a set, and the angles between them.

        g_s = (1/n) Σ_{i in s} ∇ℓᵢ

    Every segment's *sum* is divided by the same n, so their sum is the gradient of the set. A
    mean per segment would hide how many samples pull each way.

    Args:
        model: Any module with deterministic layers.
        x: A fixed set of inputs.
        y: Targets.
        loss: `loss(outputs, targets)`, called on each sample alone.
        segments: The segment of each sample, 0 … S−1. An empty one has length 0.

    Raises:
        ValueError: As `gradient_alignment`; segments of another length, or negative.

    Cost:
        One forward and S backward passes.

    Example:
        >>> model = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.zeros_(model.weight)
        >>> x, y = torch.ones(4, 1), torch.tensor([[1.0], [1.0], [1.0], [-1.0]])
        >>> found = segment_gradients(
        ...     model, x, y, nn.functional.mse_loss, torch.tensor([0, 0, 0, 1]))
        >>> found.norms
        tensor([1.5000, 0.5000])
        >>> found.cosines[0, 1]
        tensor(-1.)

    References:
        Liu, Zhu, Belkin (2023), arXiv:2306.02533: the segments and their sums.
    """
    n = n_examples(x)
    expect(
        segments.shape == (n,) and not segments.is_floating_point() and int(segments.min()) >= 0,
        "segment_gradients(segments=...)",
        f"{n} integers ≥ 0",
        f"{segments.dtype} of shape {tuple(segments.shape)}",
    )
    params, function, _, slopes = _at("segment_gradients", model, x, y, loss)
    gradients = []
    with undisturbed(model):
        leaves = {name: p.detach().requires_grad_() for name, p in params.items()}
        outputs = function(leaves, x)
        for segment in range(int(segments.max()) + 1):
            inside = (segments.to(slopes.device) == segment).view(-1, *[1] * (slopes.ndim - 1))
            parts = torch.autograd.grad(
                outputs,
                list(leaves.values()),
                torch.where(inside, slopes / n, 0.0),
                retain_graph=True,
                materialize_grads=True,
            )
            gradients.append(torch.cat([part.flatten() for part in parts]))
    matrix = torch.stack(gradients)
    norms = matrix.norm(dim=1)
    return SegmentGradients(norms, (matrix @ matrix.T) / norms[:, None] / norms[None])


def clean_dominance(
    model: nn.Module, x: Inputs, y: Tensor, loss: Loss, clean: Bool[Tensor, " n"]
) -> float:
    """Ratio of the gradient of the clean samples to that of the mislabelled ones.

        ρ = ‖Σ_{clean} ∇ℓᵢ‖ / ‖Σ_{not clean} ∇ℓᵢ‖

    Sums, not means: with a share δ of symmetric noise over C classes it starts near
    (1−δ)(C−1)/δ within a class, and lower in total. Clean labels are learned first while it is
    above 1; its first crossing of 1 is about where the test error is least.

    Args:
        model: Any module with deterministic layers.
        x: A fixed set of inputs.
        y: Given targets.
        loss: `loss(outputs, targets)`, called on each sample alone.
        clean: Which samples are, or are believed to be, labelled rightly.

    Returns:
        The ratio; `inf` if the others' gradient is zero or there are none, `nan` if both are.

    Raises:
        ValueError: As `segment_gradients`.

    Cost:
        One forward and two backward passes.

    Example:
        >>> model = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.zeros_(model.weight)
        >>> x, y = torch.ones(4, 1), torch.tensor([[1.0], [1.0], [1.0], [-1.0]])
        >>> clean_dominance(model, x, y, nn.functional.mse_loss, y[:, 0] > 0)
        3.0

    References:
        Liu, Zhu, Belkin (2023), arXiv:2306.02533: the clean dominance ratio.
    """
    expect(
        clean.dtype == torch.bool,
        "clean_dominance(clean=...)",
        "a tensor of truth values",
        clean.dtype,
    )
    norms = segment_gradients(model, x, y, loss, (~clean).long()).norms
    numerator = float(norms[0])
    denominator = float(norms[1]) if len(norms) > 1 else 0.0
    if denominator == 0:
        return math.inf if numerator > 0 else math.nan
    return numerator / denominator


def _at(
    where: str, model: nn.Module, x: Inputs, y: Tensor, loss: Loss
) -> tuple[Params, Callable[[Params, Inputs], Tensor], Tensor, Tensor]:
    """Parameters, the model as a function, outputs, and ∂ℓᵢ/∂f(xᵢ) of every sample."""
    expect_inputs(x, f"{where}(x=...)")
    expect_inputs(y, f"{where}(y=...)", n_examples(x))
    expect_deterministic(model, f"{where}(model=...)")
    params, function = trainable(model, None, f"{where}(model=...)"), as_function(model)
    with undisturbed(model), torch.no_grad():
        outputs = expect_outputs(function(params, x), n_examples(x), f"{where}(model=...)")
    slopes = vmap(grad(lambda f, target: loss(f[None], target[None])))(outputs, y)
    return params, function, outputs, slopes
