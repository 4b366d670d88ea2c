"""The empirical tangent kernel of any module whose examples do not mix."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from overparam._batch import chunks, detached, n_examples, take
from overparam._checked import checked
from overparam._deprecated import renamed
from overparam._forward import seen_through
from overparam._memory import GIB, expect_room, keep_freed_memory, part_of
from overparam._types import Forward, Inputs
from overparam.tangents.engine.contraction import contract, expect_finite
from overparam.tangents.engine.factors import Differentiator, Factors, GraphChanged, pass_size
from overparam.tangents.engine.plan import Plan, make_plan
from overparam.tangents.engine.session import chosen_params, opened

# Factors kept at once unless `chunk_size` says otherwise.
_KEPT = GIB


@renamed(params="names")
@checked
def empirical_ntk(
    model: nn.Module,
    x1: Inputs,
    x2: Inputs | None = None,
    *,
    names: Sequence[str] | None = None,
    chunk_size: int | None = None,
    forward: Forward | None = None,
) -> Float[Tensor, "n1 n2"]:
    """Empirical tangent kernel, averaged over the model's outputs.

    For a model f with C outputs and parameters θ,

        K[i, j] = (1/C) Σ_c ⟨∂f_c(x1[i])/∂θ, ∂f_c(x2[j])/∂θ⟩.

    The 1/C is a *mean* over outputs, so K does not grow with the number of classes, and
    K ⊗ 1_C approximates the full kernel. The C × C blocks before averaging are
    `empirical_ntk_blocks`; the kernel of the summed outputs is `sum_of_logits_ntk`. An output
    of shape (n, …) is flattened to C numbers an example; (n,) is C = 1.

    No gradient is formed where a product of smaller matrices gives the same: the gradient of
    a linear map is δaᵀ, hence ⟨·,·⟩ = ⟨δ, δ'⟩⟨a, a'⟩. All outputs are differentiated together
    where every operation in between has a rule for it, as in the usual multi-layer and
    convolutional networks, else one after another. The network may contain any operation, tied
    weights and re-used modules; what no rule covers is differentiated directly.

    Args:
        model: A module in evaluation mode; it is left as it was, bit for bit.
        x1: n1 examples: a tensor, or a tuple or mapping of tensors that `model` takes.
        x2: n2 examples. `None` means `x1`, at about half the cost.
        names: Names of the parameters that make up θ; `None` means all that require a
            gradient.
        chunk_size: Examples whose gradients are held at a time. Bounds memory, at the price
            of differentiating again, and never changes the result. `None` chooses it so that
            about 1 GiB is held.
        forward: ``forward(model, x)`` that returns the outputs as one tensor, for a model that
            returns something else.

    Returns:
        K, on the model's device, in its precision but in no less than single. With `x2=None`
        exactly symmetric, and positive semi-definite up to rounding.

    Raises:
        ValueError: If the examples of a batch influence one another, or an argument is wrong.
        TypeError: If `x1` holds no tensors or `model` returns none.
        MemoryError: If the result and `chunk_size` examples' factors do not fit.
        NumericalError: If K is not finite.

    Cost:
        C (n1 + n2) backward passes, then 2 n1 n2 (C O + I) flops for a layer that maps I to O
        numbers. Memory is that of K and of (C O + I) numbers per example and layer.

    Example:
        A linear map has ⟨x, x'⟩ as its kernel, whatever its weights:

        >>> model = torch.nn.Linear(2, 3, bias=False)
        >>> empirical_ntk(model, torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
        tensor([[1., 1.],
                [1., 2.]])

    References:
        Jacot, Gabriel, Hongler (2018), arXiv:1806.07572: the kernel.
        Novak, Sohl-Dickstein, Schoenholz (2022), arXiv:2206.08720: contraction of layers'
        factors instead of gradients. We choose per layer, by a count of operations.
    """
    model = seen_through(model, forward, "empirical_ntk")
    kernel = _kernel("empirical_ntk", model, x1, x2, names, chunk_size)
    return kernel[0, :, 0]


@renamed(params="names")
@checked
def empirical_ntk_blocks(
    model: nn.Module,
    x1: Inputs,
    x2: Inputs | None = None,
    *,
    names: Sequence[str] | None = None,
    chunk_size: int | None = None,
    forward: Forward | None = None,
) -> Float[Tensor, "n1 n2 c c"]:
    """Empirical tangent kernel of every pair of outputs.

    For a model f with C outputs and parameters θ,

        K[i, j, c, d] = ⟨∂f_c(x1[i])/∂θ, ∂f_d(x2[j])/∂θ⟩.

    Nothing is averaged. The square matrix whose row i·C + c belongs to output c of example i
    is ``K.permute(0, 2, 1, 3).reshape(n1 * C, n2 * C)``.

    Args:
        model: As for `empirical_ntk`.
        x1: n1 examples.
        x2: n2 examples. `None` means `x1`, at about half the cost.
        names: Names of the parameters that make up θ.
        chunk_size: Examples whose gradients are held at a time; never changes the result.
        forward: ``forward(model, x)`` that returns the outputs as one tensor, for a model that
            returns something else.

    Returns:
        K, as a view whose memory is ordered (c, i, d, j); with `x2=None` it is exactly
        symmetric, K[i, j, c, d] = K[j, i, d, c].

    Raises:
        ValueError: As `empirical_ntk`, and so for the others.
        TypeError: If `x1` holds no tensors or `model` returns none.
        MemoryError: If the result and `chunk_size` examples' factors do not fit.
        NumericalError: If K is not finite.

    Cost:
        C (n1 + n2) backward passes, then 2 n1 n2 (C² O + I) flops for a layer that maps I to
        O numbers. Memory is n1 n2 C² numbers and the factors.

    Example:
        The outputs of a linear map have nothing in common, so that a block is ⟨x, x'⟩ · 1:

        >>> model = torch.nn.Linear(2, 2, bias=False)
        >>> empirical_ntk_blocks(model, torch.tensor([[1.0, 2.0]]))
        tensor([[[[5., 0.],
                  [0., 5.]]]])

    References:
        Novak, Sohl-Dickstein, Schoenholz (2022), arXiv:2206.08720: the algorithm.
    """
    model = seen_through(model, forward, "empirical_ntk_blocks")
    kernel = _kernel("empirical_ntk_blocks", model, x1, x2, names, chunk_size, blocks=True)
    return kernel.permute(1, 3, 0, 2)


@renamed(params="names")
@checked
def sum_of_logits_ntk(
    model: nn.Module,
    x1: Inputs,
    x2: Inputs | None = None,
    *,
    names: Sequence[str] | None = None,
    chunk_size: int | None = None,
    forward: Forward | None = None,
) -> Float[Tensor, "n1 n2"]:
    """Empirical tangent kernel of the outputs' sum over √C.

    For a model f with C outputs and parameters θ,

        K[i, j] = ⟨∂s(x1[i])/∂θ, ∂s(x2[j])/∂θ⟩,   s = C^(-1/2) Σ_c f_c.

    That is the sum of all C² entries of a block over C, from one backward pass instead of C.
    Like the mean over outputs it approximates the full kernel by K ⊗ 1_C, somewhat worse.

    Args:
        model: As for `empirical_ntk`.
        x1: n1 examples.
        x2: n2 examples. `None` means `x1`, at about half the cost.
        names: Names of the parameters that make up θ.
        chunk_size: Examples whose gradients are held at a time; never changes the result.
        forward: ``forward(model, x)`` that returns the outputs as one tensor, for a model that
            returns something else.

    Returns:
        K, on the model's device; with `x2=None` exactly symmetric.

    Raises:
        ValueError: As `empirical_ntk`, and so for the others.
        TypeError: If `x1` holds no tensors or `model` returns none.
        MemoryError: If the result and `chunk_size` examples' factors do not fit.
        NumericalError: If K is not finite.

    Cost:
        n1 + n2 backward passes, then 2 n1 n2 (O + I) flops for a layer that maps I to O.

    Example:
        With weights shared by nothing, blocks are ⟨x, x'⟩ · 1, whose entries add up to C ⟨x, x'⟩:

        >>> model = torch.nn.Linear(2, 3, bias=False)
        >>> sum_of_logits_ntk(model, torch.tensor([[1.0, 0.0], [1.0, 1.0]])).round(decimals=4)
        tensor([[1., 1.],
                [1., 2.]])

    References:
        Mohamadi, Bae, Sutherland (2023), arXiv:2206.12543: the approximation, with its error
        O(1/√width) at initialisation.
    """
    model = seen_through(model, forward, "sum_of_logits_ntk")
    kernel = _kernel("sum_of_logits_ntk", model, x1, x2, names, chunk_size, summed=True)
    return kernel[0, :, 0]


def combined_ntk(
    model: nn.Module, x: Inputs, combinations: Float[Tensor, "c m"]
) -> Float[Tensor, "n n"]:
    """`empirical_ntk` of m combinations of the outputs, the columns given: a mean over these.

    Of random orthonormal ones it has the same expectation, for m backward passes.
    """
    return _kernel("empirical_ntk", model, x, None, None, None, combinations=combinations)[0, :, 0]


def combined_blocks(
    model: nn.Module, x: Inputs, combinations: Float[Tensor, "c m"]
) -> Float[Tensor, "n n m m"]:
    """`empirical_ntk_blocks` of m combinations of the outputs, the columns given."""
    where = "empirical_ntk_blocks"
    kernel = _kernel(where, model, x, None, None, None, blocks=True, combinations=combinations)
    return kernel.permute(1, 3, 0, 2)


def _kernel(
    name: str,
    model: nn.Module,
    x1: Inputs,
    x2: Inputs | None,
    names: Sequence[str] | None,
    chunk_size: int | None,
    *,
    blocks: bool = False,
    summed: bool = False,
    combinations: Tensor | None = None,
) -> Float[Tensor, "k n1 k n2"]:
    """The kernel with K = C outputs kept apart (`blocks`), or K = 1."""
    chosen = chosen_params(model, x1, x2, names, chunk_size, name)
    x1, x2 = detached(x1), None if x2 is None else detached(x2)
    keep_freed_memory()
    with opened(model, chosen):
        larger = x1 if x2 is None or n_examples(x1) >= n_examples(x2) else x2
        plan, uses = make_plan(model, larger, chosen, f"{name}(model=...)")
        columns = n_examples(x1 if x2 is None else x2)

        def prepared(plan: Plan, uses: dict) -> Differentiator:
            return Differentiator(
                model, plan, uses, blocks=blocks, summed=summed, combinations=combinations,
                columns=columns,
            )  # fmt: skip

        where = f"{name}(chunk_size=...)"
        try:
            kernel = _assemble(prepared(plan, uses), x1, x2, chunk_size, where)
        except GraphChanged:
            kernel = _assemble(prepared(plan.without_rules(), {}), x1, x2, chunk_size, where)
    if not (blocks or summed):
        kernel /= plan.outputs if combinations is None else combinations.shape[1]
    expect_finite(kernel, f"{name}(model=...)", "entries")
    return kernel


def _assemble(
    differentiator: Differentiator,
    x1: Inputs,
    x2: Inputs | None,
    chunk_size: int | None,
    where: str,
) -> Float[Tensor, "k n1 k n2"]:
    """Blocks of rows against blocks of columns, each of factors that fit together."""
    plan = differentiator.plan
    k = differentiator.outputs if differentiator.blocks else 1
    n1, n2 = n_examples(x1), n_examples(x1 if x2 is None else x2)
    block, needed = _sizes(differentiator, n1, 0 if x2 is None else n2, chunk_size)
    device = next(iter(plan.params.values())).device
    expect_room(
        needed + k * k * n1 * n2 * plan.dtype.itemsize,
        device,
        where,
        "pass fewer examples, or a smaller chunk_size if the result itself fits.",
    )
    out = torch.zeros(k, n1, k, n2, dtype=plan.dtype, device=device)

    def factors(x: Inputs, rows: slice) -> Factors:
        part = take(x, rows)
        return differentiator.factors(part, pass_size(differentiator, n_examples(part)))

    columns = chunks(n2, block)
    kept = factors(x2, columns[0]) if x2 is not None and len(columns) == 1 else None
    for number, i in enumerate(chunks(n1, block)):
        left = factors(x1, i)
        if x2 is None:
            contract(out[:, i, :, i], left, left, symmetric=True)
        for j in columns if x2 is not None else columns[number + 1 :]:
            right = kept if kept is not None else factors(x1 if x2 is None else x2, j)
            contract(out[:, i, :, j], left, right, symmetric=False)
            if x2 is None:
                out[:, j, :, i] = out[:, i, :, j].permute(2, 3, 0, 1)
    return out


def _sizes(
    differentiator: Differentiator, n1: int, n2: int, chunk_size: int | None
) -> tuple[int, int]:
    """Examples in a block, and the bytes that blocks and passes take beside the result."""
    each = max(1, differentiator.size) * differentiator.plan.dtype.itemsize
    kept = part_of(1 / 4, _KEPT, next(iter(differentiator.plan.params.values())).device)
    if chunk_size is not None:
        block = chunk_size
    elif (n1 + n2) * each <= kept:
        block = max(n1, n2)
    else:
        block = max(1, kept // (2 * each))
    held = min(block, n1) + (min(block, n2) if n2 else min(block, max(0, n1 - block)))
    passes = pass_size(differentiator, min(block, max(n1, n2))) * differentiator.plan.floats
    return block, held * each + passes * differentiator.plan.dtype.itemsize
