"""Average gradient outer product: which directions of the input a model responds to."""

import math
from collections.abc import Iterator
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from overparam._batch import chunks
from overparam._checked import checked
from overparam._errors import expect, unknown
from overparam._forward import seen_through
from overparam._model import expect_inputs, expect_outputs, expect_own_outputs, undisturbed
from overparam._types import Forward

Outputs = Literal["all", "random"]


@checked
def agop(
    model: nn.Module,
    x: Float[Tensor, "n *input"],
    *,
    chunk_size: int | None = None,
    outputs: Outputs = "all",
    n_vectors: int = 1,
    seed: int = 0,
    forward: Forward | None = None,
) -> Float[Tensor, "d d"]:
    """Average gradient outer product of a model over a batch of inputs.

        G = (1/n) Σᵢ J(xᵢ)ᵀ J(xᵢ),     J = ∂f/∂x  (outputs × d)

    A *mean* over examples and a *sum* over outputs. The input is flattened to d numbers, in
    the order of `x.flatten(1)`. The derivative is by the input, not by the parameters.

    Args:
        model: Any module that maps each example on its own (batch norm, dropout: evaluation
            mode). Its outputs may have any shape; they are flattened too.
        x: Floating-point inputs.
        chunk_size: Examples pushed through at a time; changes memory, and with
            ``outputs="random"`` nothing else either.
        outputs: ``"all"`` is exact, one backward pass per output. ``"random"`` replaces the
            outputs of each example by `n_vectors` random combinations with signs ±1, whose
            expected outer product is the identity: unbiased, one backward pass per vector.
        n_vectors: Random combinations per example; only for ``outputs="random"``.
        seed: Of the random combinations.
        forward: ``forward(model, x)`` that returns the outputs as one tensor, for a model that
            returns something else.

    Returns:
        A symmetric positive semi-definite matrix in the dtype and on the device of `x`.

    Raises:
        ValueError: Non-finite or empty inputs, inputs that are not floating-point, a layer
            that mixes examples or is random, an unknown choice of outputs.

    Cost:
        One forward pass and K backward passes (or `n_vectors`), and 2 n K d² flops. Memory:
        d² numbers; for large d see `agop_blocks` and `agop_diagonal`.

    Example:
        A linear map responds along its rows, whatever the inputs:

        >>> model = nn.Linear(2, 1)
        >>> with torch.no_grad():
        ...     _ = model.weight.copy_(torch.tensor([[1.0, 2.0]]))
        >>> agop(model, torch.randn(5, 2))
        tensor([[1., 2.],
                [2., 4.]])

    References:
        Radhakrishnan, Beaglehole, Pandit, Belkin (2022), arXiv:2212.13881: the matrix as a
        measure of learned features. Zhu, Liu, Radhakrishnan, Belkin (2023), arXiv:2306.04815:
        its alignment with that of the target along training.
    """
    total = None
    model = seen_through(model, forward, "agop")
    for gradients in _input_gradients("agop", model, x, chunk_size, outputs, n_vectors, seed):
        part = gradients.T @ gradients
        total = part if total is None else total + part
    assert total is not None
    return total / len(x)


@checked
def agop_diagonal(
    model: nn.Module,
    x: Float[Tensor, "n *input"],
    *,
    chunk_size: int | None = None,
    outputs: Outputs = "all",
    n_vectors: int = 1,
    seed: int = 0,
    forward: Forward | None = None,
) -> Float[Tensor, "d"]:
    """Diagonal of the average gradient outer product: how much each input number matters.

        g_a = (1/n) Σᵢ Σ_k (∂f_k/∂x_a)²(xᵢ)

    The same as ``agop(...).diagonal()`` without forming the d × d matrix.

    Args, Raises: As for `agop`.

    Returns:
        d numbers ≥ 0, in the order of `x.flatten(1)`.

    Cost:
        The backward passes of `agop`, 2 n K d flops, no d² memory.

    Example:
        >>> model = nn.Linear(2, 1)
        >>> with torch.no_grad():
        ...     _ = model.weight.copy_(torch.tensor([[1.0, 2.0]]))
        >>> agop_diagonal(model, torch.randn(5, 2))
        tensor([1., 4.])
    """
    where = "agop_diagonal"
    model = seen_through(model, forward, where)
    total = None
    for gradients in _input_gradients(where, model, x, chunk_size, outputs, n_vectors, seed):
        part = gradients.square().sum(0)
        total = part if total is None else total + part
    assert total is not None
    return total / len(x)


@checked
def agop_blocks(
    model: nn.Module,
    x: Float[Tensor, "n *input"],
    block_size: int,
    *,
    chunk_size: int | None = None,
    outputs: Outputs = "all",
    n_vectors: int = 1,
    seed: int = 0,
    forward: Forward | None = None,
) -> Float[Tensor, "blocks b b"]:
    """Blocks of `block_size` on the diagonal of the average gradient outer product.

        G_k = (1/n) Σᵢ J_k(xᵢ)ᵀ J_k(xᵢ),     J_k = ∂f/∂(inputs kb … (k+1)b − 1)

    Between `agop` (one block) and `agop_diagonal` (blocks of one), for inputs too large for
    the d × d matrix: a channel of an image, or a row of it, is a run of `x.flatten(1)`.

    Args:
        model: As for `agop`.
        x: Floating-point inputs.
        block_size: b, which must divide d.
        chunk_size: As for `agop`, like the rest.
        outputs: ``"all"`` or ``"random"``.
        n_vectors: Random combinations per example.
        seed: Of the random combinations.
        forward: ``forward(model, x)`` that returns the outputs as one tensor, for a model that
            returns something else.

    Returns:
        d/b symmetric positive semi-definite matrices, in the order of `x.flatten(1)`.

    Raises:
        ValueError: As for `agop`, or if `block_size` does not divide d.

    Cost:
        The backward passes of `agop`, 2 n K d b flops, d b numbers.

    Example:
        >>> model = nn.Linear(4, 1)
        >>> with torch.no_grad():
        ...     _ = model.weight.copy_(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
        >>> agop_blocks(model, torch.randn(5, 4), 2)
        tensor([[[ 1.,  2.],
                 [ 2.,  4.]],
        <BLANKLINE>
                [[ 9., 12.],
                 [12., 16.]]])
    """
    where = "agop_blocks"
    model = seen_through(model, forward, where)
    d = x[:1].numel() if isinstance(x, Tensor) and len(x) else 0
    expect(
        not d or (block_size >= 1 and d % block_size == 0),
        f"{where}(block_size=...)",
        f"a divisor of the {d} numbers of an input",
        block_size,
    )
    total = None
    for gradients in _input_gradients(where, model, x, chunk_size, outputs, n_vectors, seed):
        rows = gradients.unflatten(1, (-1, block_size)).movedim(1, 0)
        part = rows.mT @ rows
        total = part if total is None else total + part
    assert total is not None
    return total / len(x)


@checked
def agop_alignment(first: Tensor, second: Tensor) -> float:
    """Cosine of the angle between two matrices, such as the AGOP of a model and of the target.

        ⟨G, G′⟩_F / (‖G‖_F ‖G′‖_F)

    In [0, 1] for positive semi-definite matrices. It is not centred: an isotropic G against a
    projector of rank r in d dimensions has √(r/d), not 0. Two diagonals are compared likewise,
    which gives another number than the matrices they come from.

    Args:
        first: A matrix, or the diagonal of one.
        second: Another of the same shape.

    Returns:
        The cosine.

    Raises:
        ValueError: If the shapes differ, or either is zero or not finite.

    Example:
        >>> round(agop_alignment(torch.eye(4), torch.diag(torch.tensor([1.0, 0, 0, 0]))), 6)
        0.5
    """
    expect(
        first.shape == second.shape,
        "agop_alignment(second=...)",
        f"shape {tuple(first.shape)}, as the first",
        tuple(second.shape),
    )
    found = cosine(first, second)
    expect(
        not math.isnan(found),
        "agop_alignment(...)",
        "two finite matrices that are not zero",
        f"one with entries up to {float(first.abs().max()):.3g}, the other up to "
        f"{float(second.abs().max()):.3g}",
        hint="a model whose outputs do not depend on its inputs has no direction to align.",
    )
    return found


def cosine(first: Tensor, second: Tensor) -> float:
    """As `agop_alignment`, but `nan` if either is zero or not finite."""
    a, b = first.double().flatten(), second.double().flatten().to(first.device)
    sizes = float(a.abs().max()), float(b.abs().max())
    if not all(0 < size < math.inf for size in sizes):
        return math.nan
    a, b = a / sizes[0], b / sizes[1]  # the squares of 1e200 are not numbers
    return float(a @ b) / float(a.norm() * b.norm())


def _input_gradients(
    where: str,
    model: nn.Module,
    x: Tensor,
    chunk_size: int | None,
    outputs: str,
    n_vectors: int,
    seed: int,
) -> Iterator[Tensor]:
    """Rows ∂f_k/∂x of every example, one output or random combination at a time.

    They are yielded scaled so that their squares sum, over everything yielded, to n times the
    diagonal of the AGOP.
    """
    expect_inputs(x, f"{where}(x=...)")
    expect(
        isinstance(x, Tensor) and x.is_floating_point(),
        f"{where}(x=...)",
        "floating-point inputs",
        x.dtype if isinstance(x, Tensor) else type(x).__name__,
        hint="token ids have no gradient; pass their embeddings to the rest of the model.",
    )
    if outputs not in ("all", "random"):
        unknown(f"{where}(outputs=...)", "a choice", str(outputs), ["all", "random"])
    expect(
        n_vectors >= 1, f"{where}(n_vectors=...)", "a positive number of combinations", n_vectors
    )
    expect(
        chunk_size is None or chunk_size >= 1,
        f"{where}(chunk_size=...)",
        "a positive number of examples or None",
        chunk_size,
    )
    expect_own_outputs(model, x, f"{where}(model=...)")
    generator = torch.Generator().manual_seed(seed)
    for part in chunks(len(x), chunk_size):
        with undisturbed(model):
            inputs = x[part].detach().requires_grad_()
            value = expect_outputs(model(inputs), len(inputs), f"{where}(model=...)")
            value = value.flatten(1) if value.ndim > 1 else value[:, None]
            if not value.requires_grad:  # a model that ignores its input
                yield torch.zeros_like(inputs).flatten(1)
                continue
            if outputs == "all":
                weights = [_unit(value, k) for k in range(value.shape[1])]
                scale = 1.0
            else:
                # Example by example in the generator's order, so chunks draw the same signs.
                shape = (len(inputs), n_vectors, value.shape[1])
                signs = torch.randint(0, 2, shape, generator=generator)
                weights = list((2.0 * signs - 1).to(value).movedim(1, 0))
                scale = n_vectors**-0.5
            for weight in weights:
                (gradient,) = torch.autograd.grad(
                    value, inputs, weight, retain_graph=True, materialize_grads=True
                )
                yield gradient.flatten(1) * scale


def _unit(value: Tensor, k: int) -> Tensor:
    """The cotangent that picks output k of every example."""
    weight = torch.zeros_like(value)
    weight[:, k] = 1
    return weight
