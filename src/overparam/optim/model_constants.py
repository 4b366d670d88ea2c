"""The constants of a network's loss, from its tangent kernel and curvature."""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import islice
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from overparam._checked import checked
from overparam._deprecated import renamed
from overparam._errors import expect
from overparam._exclusive import exclusive
from overparam._model import call, expect_inputs, n_examples, take, undisturbed
from overparam._numbers import described
from overparam._random_numbers import own_random_numbers
from overparam._types import Inputs, Loss
from overparam.curvature.gauss_newton import GGNOperator
from overparam.curvature.loss_at_point import LossAtPoint
from overparam.optim.hyperparameters import (
    InterpolationConstants,
    MassHyperparameters,
    interpolation_constants,
    mass_hyperparameters,
)
from overparam.tangents.empirical import empirical_ntk_blocks
from overparam.tangents.operator import NTKOperator

Batches: TypeAlias = Iterable[tuple[Inputs, Tensor]]
"""Mini-batches of inputs and targets that can be gone through again, such as a `DataLoader`."""

# Order up to which a Gram matrix is decomposed, and examples for the largest eigenvalue.
_ROWS, _EXAMPLES, _CHUNK = 640, 512, 128
# Steps after which a probing run looks at the constants again, as shares of its length.
_LOOKS = (0.1, 0.3, 1.0)


@renamed(params="names")
@checked
def model_constants(
    model: nn.Module,
    x: Inputs,
    y: Tensor,
    loss: Loss,
    *,
    share: float = 0.9,
    names: Sequence[str] | None = None,
) -> InterpolationConstants:
    """L, L1, μ and κ̃ of a network's loss at its present parameters, with G in place of H.

        G = (1/n)Σ JᵢᵀAᵢJᵢ, the Gauss–Newton matrix, Aᵢ the loss's curvature at example i

    by the tangent kernel between outputs, on the examples given. The smallest eigenvalue of an
    over-parameterized model is numerical dust, so μ is where `share` of the residual is spent.

    Args:
        model: A module; evaluated in evaluation mode and left as it was.
        x: A sample of inputs: 64 examples of ten classes take a second.
        y: Their targets.
        loss: A mean over examples of what each contributes by itself.
        share: Part of the squared residual that counts as to be learned, in (0, 1].
        names: Names of the parameters that are trained; `None` means all that can be.

    Raises:
        ValueError: As `GGNOperator`.

    Cost:
        The kernel between outputs, and an eigendecomposition of order nC.

    Example:
        For f = w·x and the half mean of squares, H is the mean of x², here 2.5:

        >>> model = nn.Linear(1, 1, bias=False)
        >>> x = torch.tensor([[1.0], [2.0]])
        >>> half_mean = lambda f, y: (f - y).square().mean() / 2
        >>> found = model_constants(model, x, torch.zeros(2, 1), half_mean)
        >>> found.largest, found.single
        (2.5, 4.0)

    References:
        Liu, Belkin (2020), arXiv:1810.13395, for linear least squares; the rest is by analogy.
    """
    with undisturbed(model, evaluation=True):
        at = LossAtPoint("model_constants", model, x, y, loss, names, None)
        blocks = empirical_ntk_blocks(model, x, names=names).double()
    outputs = at.outputs.reshape(len(at.outputs), -1)
    roots, residual = _curvature(at.outputs, y, loss)
    expect(
        blocks.shape[-1] == outputs.shape[1],
        "model_constants(model=...)",
        "one output vector for each example",
        f"outputs of shape {tuple(at.outputs.shape)}",
    )
    gram = torch.einsum("iap,ijpq,jqb->iajb", roots, blocks, roots)
    return interpolation_constants(gram, residual, share=share)


def _curvature(
    outputs: Tensor, y: Tensor, loss: Loss
) -> tuple[Float[Tensor, "n c c"], Float[Tensor, "n c"]]:
    """Root of each example's curvature, and its gradient in the coordinates of that root."""
    n = len(outputs)
    values = outputs.detach().double().requires_grad_()
    targets = y.double() if y.is_floating_point() else y
    (slope,) = torch.autograd.grad(loss(values, targets), values, create_graph=True)
    flat = slope.reshape(n, -1)
    # Each example's curvature is its own, so column a of all of them is one derivative. Times
    # n, a mean over examples counts each once.
    columns = [
        torch.autograd.grad(flat[:, a].sum(), values, retain_graph=True, materialize_grads=True)[
            0
        ].reshape(n, -1)
        for a in range(flat.shape[1])
    ]
    curvature = torch.stack(columns, 2) * n
    weights, axes = torch.linalg.eigh((curvature + curvature.mT) / 2)
    weights = weights.clamp(min=0)
    kept = weights > 1e-12 * weights.amax()
    inverse = torch.where(kept, weights.clamp(min=1e-300).rsqrt(), 0.0)
    roots = axes @ (weights.sqrt().unsqueeze(-1) * axes.mT)
    gradient = axes.mT @ (flat.detach() * n).unsqueeze(-1)
    return roots, (axes @ (inverse.unsqueeze(-1) * gradient)).squeeze(-1)


@checked
def loader_constants(
    model: nn.Module, batches: Batches, loss: Loss, *, share: float = 0.9, examples: int = 64
) -> InterpolationConstants:
    """The constants from mini-batches: L by Lanczos on many examples, the rest on a few.

    L is the largest eigenvalue of the Gauss–Newton matrix of up to 512 examples, from products
    with vectors. L1, κ̃ and μ are those of `model_constants` on the first of them: L1 by the
    largest curvature of a single example, an upper bound for these; κ̃ at most their number.

    Args:
        model: A module; evaluated in evaluation mode and left as it was.
        batches: Mini-batches; only as many as needed are drawn.
        loss: A mean over examples.
        share: As for `model_constants`.
        examples: How many examples the Gram matrix is made of, fewer where outputs are many.

    Raises:
        ValueError: No batch, or as `GGNOperator`.

    Cost:
        Some ten products with the Gauss–Newton matrix, and `model_constants`.
    """
    _expect_batches(batches, "loader_constants(batches=...)", again=False)
    with _own_random_numbers(model):  # a loader that shuffles draws from the global generator
        x, y = _gathered(batches, _EXAMPLES, "loader_constants(batches=...)")
    with undisturbed(model, evaluation=True):
        at = LossAtPoint("loader_constants", model, x, y, loss, None, _CHUNK)
        operator = GGNOperator.at_point(at)
    return operator_constants(operator, share=share, examples=examples)


@checked
def operator_constants(
    operator: GGNOperator | NTKOperator,
    y: Tensor | None = None,
    *,
    share: float = 0.9,
    examples: int = 64,
) -> InterpolationConstants:
    """The constants at the point of an operator: L by Lanczos, the rest on its first examples.

    Of a Gauss–Newton matrix the loss is its own. Of a tangent kernel it is the half mean of
    squares, L = (1/2n)Σ‖f − y‖², whose Gauss–Newton matrix has the eigenvalues of K/n.

    L comes from products with all examples. L1, κ̃ and μ are those of `model_constants` on the
    first of them, which no product with a vector gives: L1 is the largest curvature of a single
    example, an upper bound for these; κ̃ is at most their number; μ is where `share` of their
    residual is spent.

    Args:
        operator: A `GGNOperator` or `NTKOperator` of a model.
        y: Targets in the shape of the outputs; for a tangent kernel, and only then.
        share: As for `model_constants`.
        examples: How many examples the Gram matrix is made of, fewer where outputs are many.

    Raises:
        ValueError: Targets missing or given twice, or as `GGNOperator`.

    Cost:
        Some ten products with the operator, and `model_constants`.

    Example:
        >>> model = nn.Linear(1, 1, bias=False)
        >>> kernel = NTKOperator(model, torch.tensor([[1.0], [2.0]]))
        >>> found = operator_constants(kernel, torch.zeros(2, 1))
        >>> found.largest, found.single
        (2.5, 4.0)
    """
    where = "operator_constants"
    if isinstance(operator, NTKOperator):
        expect(
            y is not None, f"{where}(y=...)", "the targets of the kernel's examples", None,
            hint="a tangent kernel knows no targets; pass them.",
        )  # fmt: skip
        assert y is not None
        model, x, names = operator.model, operator.x, operator.names
        n = operator.examples
        expect(len(y) == n, f"{where}(y=...)", f"{n} targets, one for each example", len(y))
        loss = _half_mean_of_squares
        largest = float(operator.eigenpairs(tolerance=1e-2).values[0]) / n
    else:
        known = isinstance(operator, GGNOperator)
        expect(
            known, f"{where}(operator=...)", "a GGNOperator or an NTKOperator",
            type(operator).__name__, error=TypeError,
        )  # fmt: skip
        at = operator.at
        expect(
            y is None,
            f"{where}(y=...)",
            "no targets beside a GGNOperator, which has its own",
            "targets",
        )
        model, x, y, loss, names = at.model, at.x, at.y, at.loss, list(at.params)
        with undisturbed(model, evaluation=True):
            largest = float(operator.eigenpairs(1, tolerance=1e-2).values[0])
    with undisturbed(model, evaluation=True), torch.no_grad():
        outputs = call(model, take(x, slice(0, 1))).numel()
    few = slice(0, max(min(examples, _ROWS // outputs), 4))
    found = model_constants(model, take(x, few), y[few], loss, share=share, names=names)
    return replace(
        found,
        largest=largest,
        single=max(found.single, largest),
        smallest=min(found.smallest, largest),
    )


def _half_mean_of_squares(outputs: Tensor, y: Tensor) -> Tensor:
    """(1/2n)Σ‖f − y‖² over n examples."""
    return (outputs - y).square().sum() / (2 * len(y))


def _gathered(batches: Batches, count: int, where: str) -> tuple[Inputs, Tensor]:
    """The first examples of the batches, as one batch of up to `count`."""
    parts: list[tuple[Inputs, Tensor]] = []
    total = 0
    for batch in batches:
        x, y = _pair(batch, where)
        parts.append((x, y))
        total += len(y)
        if total >= count:
            break
    expect(total > 0, where, "at least one batch of examples", "none")
    first = parts[0][0]
    if isinstance(first, Tensor):
        x = torch.cat([part for part, _ in parts])  # pyright: ignore[reportArgumentType]
    elif isinstance(first, tuple):
        x = tuple(torch.cat(columns) for columns in zip(*(p for p, _ in parts), strict=True))
    else:
        x = {name: torch.cat([part[name] for part, _ in parts]) for name in first}  # pyright: ignore
    return take(x, slice(0, count)), torch.cat([y for _, y in parts])[:count]


def _pair(batch: Any, where: str) -> tuple[Inputs, Tensor]:
    """Inputs and targets of a mini-batch, of one length."""
    pair = isinstance(batch, (tuple, list)) and len(batch) == 2 and isinstance(batch[1], Tensor)
    expect(
        pair, where, "mini-batches (x, y) of inputs and a tensor of targets", described(batch),
        hint="a DataLoader over a TensorDataset(x, y) gives such.", error=TypeError,
    )  # fmt: skip
    x, y = batch
    x = tuple(x) if isinstance(x, list) else x
    expect_inputs(x, where)
    expect_inputs(y, where, n_examples(x))
    return x, y


def _expect_batches(batches: Any, where: str, *, again: bool) -> None:
    """Raise for what is no iterable, or can be gone through once only where that is too few."""
    iterable = isinstance(batches, Iterable) and not isinstance(batches, (str, Mapping, Tensor))
    expect(
        iterable, where, "an iterable of mini-batches (x, y)", described(batches),
        hint="for one batch, pass [(x, y)].", error=TypeError,
    )  # fmt: skip
    expect(
        not (again and isinstance(batches, Iterator)), where,
        "mini-batches that can be gone through again", f"a {type(batches).__name__}",
        hint="pass a DataLoader or a list: list(batches) makes one.",
    )  # fmt: skip


@renamed(steps="probe_steps")
@checked
def probed_hyperparameters(
    model: nn.Module,
    batches: Batches,
    loss: Loss,
    *,
    batch_size: int | None = None,
    share: float = 0.9,
    probe_steps: int = 100,
) -> MassHyperparameters:
    """Settings of MaSS for a network, from its constants after a short run of SGD on a copy.

    At initialisation the curvature of cross-entropy is far below what training meets a hundred
    steps later, and so is the rate it calls for far above. The copy is trained with half the
    rate the constants so far allow; L and L1 are the largest seen, μ and κ̃ the last.

    Args:
        model: The network to be trained; it is not changed.
        batches: Mini-batches; gone through as often as needed.
        loss: A mean over examples.
        batch_size: m; by default the length of the first batch.
        share: As for `model_constants`.
        probe_steps: Length of the run; 0 takes the constants as they are now.

    Raises:
        ValueError: As `loader_constants`.

    Cost:
        The run, and four times `loader_constants`.
    """
    where = "probed_hyperparameters(batches=...)"
    _expect_batches(batches, where, again=True)
    with exclusive(model):
        trial = copy.deepcopy(model)
    with _own_random_numbers(model):
        if batch_size is None:
            first = next(iter(batches), None)
            expect(first is not None, where, "at least one batch of examples", "none")
            batch_size = n_examples(_pair(first, where)[0])
        found = loader_constants(trial, batches, loss, share=share)
        endless, done = _repeated(batches, where), 0
        for look in _LOOKS if probe_steps else ():
            rate = mass_hyperparameters(found, batch_size).lr / 2
            _descend(trial, islice(endless, max(int(look * probe_steps) - done, 1)), loss, rate)
            done = int(look * probe_steps)
            now = loader_constants(trial, batches, loss, share=share)
            largest, single = max(now.largest, found.largest), max(now.single, found.single)
            found = replace(now, largest=largest, single=single)
    return mass_hyperparameters(found, batch_size)


def _descend(model: nn.Module, batches: Batches, loss: Loss, rate: float) -> None:
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=rate)
    for x, y in batches:
        optimizer.zero_grad()
        loss(call(model, x), y).backward()
        optimizer.step()


def _own_random_numbers(model: nn.Module) -> AbstractContextManager[None]:
    """Leave the global generators as they are."""
    return own_random_numbers({p.device for p in model.parameters()})


def _repeated(batches: Batches, where: str) -> Iterator[tuple[Inputs, Tensor]]:
    while True:
        empty = True
        for batch in batches:
            empty = False
            yield _pair(batch, where)
        # A loader over a stream may start again and give nothing: without this, for ever.
        expect(
            not empty, where, "mini-batches that can be gone through again",
            "none in another pass", hint="pass a list: list(batches) makes one.",
        )  # fmt: skip
