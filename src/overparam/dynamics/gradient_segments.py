"""Gradients of parts of a training set against each other: alignment and clean dominance."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.func import grad, jvp, vmap

from overparam._batch import n_examples, take
from overparam._checked import checked
from overparam._errors import expect
from overparam._exclusive import forward_mode
from overparam._model import (
    as_function,
    expect_inputs,
    expect_outputs,
    expect_own_outputs,
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

    norms: Float[Tensor, "s"]
    cosines: Float[Tensor, "s s"]


@dataclass(frozen=True)
class CleanDominance:
    """Gradients of rightly against wrongly labelled samples, in total and class by class.

    Attributes:
        total: ‖gradient of the clean samples‖ / ‖gradient of the others‖ over all classes.
        per_class: The same among the samples of each class; `nan` where a class has neither.
        cosine: Cosine between the two gradients in total.
        cosines: That of each class; `nan` where one of the two is zero or empty.
    """

    total: float
    per_class: Float[Tensor, "c"]
    cosine: float
    cosines: Float[Tensor, "c"]


@checked
def gradient_alignment(model: nn.Module, x: Inputs, y: Tensor, loss: Loss) -> Float[Tensor, "n"]:
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
        A model that forward mode cannot pass (fused kernels are replaced by plain ones first)
        takes two backward passes more, for the same numbers.

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
        change = _along(lambda p: function(p, x), leaves, dict(zip(params, mean, strict=True)))
    return (slopes * change).flatten(1).sum(1).detach() if outputs.ndim > 1 else slopes * change


@checked(result="anything")
def segment_gradients(
    model: nn.Module, x: Inputs, y: Tensor, loss: Loss, segments: Int[Tensor, "n"]
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
        Two forward passes and a backward one over the whole set, whatever S; memory S · P.

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
    places = segments.to(slopes.device)
    with undisturbed(model):
        matrix = slopes.new_zeros(int(segments.max()) + 1, sum(p.numel() for p in params.values()))
        leaves = {name: p.detach().requires_grad_() for name, p in params.items()}
        for segment in range(len(matrix)):
            inside = (places == segment).nonzero()[:, 0]
            if not len(inside):
                continue
            parts = torch.autograd.grad(
                function(leaves, take(x, inside)),
                list(leaves.values()),
                slopes[inside] / n,
                materialize_grads=True,
            )
            matrix[segment] = torch.cat([part.flatten() for part in parts])
    norms = matrix.norm(dim=1)
    return SegmentGradients(norms, (matrix @ matrix.T) / norms[:, None] / norms[None])


@checked(result="anything")
def clean_dominance(
    model: nn.Module,
    x: Inputs,
    y: Tensor,
    loss: Loss,
    clean: Bool[Tensor, "n"],
    *,
    classes: Int[Tensor, "n"] | None = None,
) -> CleanDominance:
    """Gradient of the clean samples against that of the mislabelled ones.

        ρ = ‖Σ_{clean} ∇ℓᵢ‖ / ‖Σ_{not clean} ∇ℓᵢ‖

    Sums, not means, which would lose the majority. Clean labels are learned first while ρ is
    above 1; its first crossing of 1 is about where the test error is least. With a share δ of
    symmetric noise over C classes and p = 1/C, ρ of one class starts at (1−δ)(C−1)/δ, so below
    1 from δ = (C−1)/C on. The total starts lower, since gradients of different classes cancel.
    With mini-batches ρ jumps about 1 after the crossing: take the first, never the last.

    Args:
        model: Any module with deterministic layers (dropout, batch norm: evaluation mode).
        x: A fixed set of inputs.
        y: Given targets.
        loss: `loss(outputs, targets)`, called on each sample alone.
        clean: Which samples are, or are believed to be, labelled rightly.
        classes: The class each sample belongs to, 0 … C−1, for the ratios per class: the true
            one or a belief about it, not the given label. `None` counts all as one class.

    Returns:
        The ratios, each `inf` if the others' gradient is zero or there are none and `nan` if
        both are, and the cosines.

    Raises:
        ValueError: As `segment_gradients`; classes of another length, or negative.

    Cost:
        Two forward passes and a backward one; memory 2 · C · P.

    Example:
        >>> model = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.zeros_(model.weight)
        >>> x, y = torch.ones(4, 1), torch.tensor([[1.0], [1.0], [1.0], [-1.0]])
        >>> found = clean_dominance(model, x, y, nn.functional.mse_loss, y[:, 0] > 0)
        >>> found.total, found.cosine
        (3.0, -1.0)

    References:
        Liu, Zhu, Belkin (2023), arXiv:2306.02533: the clean dominance ratio, per class and in
        total. The value it starts at for more than two classes is ours.
    """
    where, n = "clean_dominance", n_examples(x)
    expect(
        clean.dtype == torch.bool and clean.shape == (n,),
        f"{where}(clean=...)",
        f"{n} truth values",
        f"{clean.dtype} of shape {tuple(clean.shape)}",
    )
    groups = torch.zeros_like(clean, dtype=torch.int64) if classes is None else classes
    expect(
        groups.shape == (n,) and not groups.is_floating_point() and int(groups.min()) >= 0,
        f"{where}(classes=...)",
        f"{n} integers ≥ 0",
        f"{groups.dtype} of shape {tuple(groups.shape)}",
    )
    found = segment_gradients(model, x, y, loss, 2 * groups + (~clean).to(groups))
    products = found.cosines.nan_to_num(nan=0.0) * found.norms[:, None] * found.norms[None]
    if len(products) % 2:  # the last class has no mislabelled sample
        products = nn.functional.pad(products, (0, 1, 0, 1))
    # Gram matrices of the clean and the other gradient: of each class, then of all together.
    blocks = products.unflatten(0, (-1, 2)).unflatten(2, (-1, 2))
    per_class = blocks.diagonal(dim1=0, dim2=2).permute(2, 0, 1)
    both = torch.cat([per_class, blocks.sum((0, 2))[None]])
    squares = both.diagonal(dim1=1, dim2=2).clamp(min=0)
    ratios = (squares[:, 0] / squares[:, 1]).sqrt()
    cosines = (both[:, 0, 1] / squares.prod(1).sqrt()).clamp(-1, 1)
    return CleanDominance(float(ratios[-1]), ratios[:-1], float(cosines[-1]), cosines[:-1])


def _along(
    function: Callable[[Params], Tensor], leaves: Params, direction: Params
) -> Float[Tensor, "n *c"]:
    """Derivative of the outputs along a direction of the parameters."""
    values = {name: p.detach() for name, p in leaves.items()}
    try:
        with forward_mode():
            return jvp(function, (values,), (direction,))[1]
    except (NotImplementedError, RuntimeError):
        # Reverse mode twice: J v is the gradient of ⟨Jᵀ u, v⟩ with respect to u.
        outputs = function(leaves)
        u = torch.zeros_like(outputs, requires_grad=True)
        pulled = torch.autograd.grad(
            outputs, list(leaves.values()), u, create_graph=True, materialize_grads=True
        )
        parts = [(g * direction[k]).sum() for g, k in zip(pulled, leaves, strict=True)]
        product = torch.stack(parts).sum()
        return torch.autograd.grad(product, u, materialize_grads=True)[0]


def _at(
    where: str, model: nn.Module, x: Inputs, y: Tensor, loss: Loss
) -> tuple[Params, Callable[[Params, Inputs], Tensor], Tensor, Tensor]:
    """Parameters, the model as a function, outputs, and ∂ℓᵢ/∂f(xᵢ) of every sample."""
    expect_inputs(x, f"{where}(x=...)")
    expect_inputs(y, f"{where}(y=...)", n_examples(x))
    expect_own_outputs(model, x, f"{where}(model=...)")
    params, function = trainable(model, None, f"{where}(model=...)"), as_function(model)
    with undisturbed(model), torch.no_grad():
        outputs = expect_outputs(function(params, x), n_examples(x), f"{where}(model=...)")
    with undisturbed(model):
        slopes = vmap(grad(lambda f, target: loss(f[None], target[None])))(outputs, y)
    return params, function, outputs, slopes
