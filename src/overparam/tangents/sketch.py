"""Gradients of examples, sketched to k numbers each without ever being formed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from overparam._batch import chunks, detached, n_examples, take
from overparam._checked import checked
from overparam._deprecated import renamed
from overparam._errors import expect
from overparam._forward import seen_through
from overparam._switches import full_precision
from overparam._types import Forward, Inputs
from overparam.errors import NumericalError
from overparam.linalg.spectra import condition_number
from overparam.tangents.engine.factors import Differentiator, Factors, GraphChanged
from overparam.tangents.engine.plan import make_plan
from overparam.tangents.engine.session import chosen_params, opened

# Rows of random signs drawn at a time; part of what a seed means, so it never changes.
_ROWS = 8192
# Examples whose factors are held at once, unless the caller says.
_HELD = 64
# Numbers per example below which the ends of a sketched spectrum say nothing.
_PER_EXAMPLE = 20


@dataclass(frozen=True)
class GradientSketch:
    """Sketched gradients of n examples and C outputs.

    Attributes:
        features: S[i, c] ∈ R^k, with E ⟨S[i, c], S[j, d]⟩ = ⟨∂f_c(x_i)/∂θ, ∂f_d(x_j)/∂θ⟩.
        seed: The signs were drawn from it; sketches of other examples of the same model with
            the same seed and k may be multiplied with these.
    """

    features: Float[Tensor, "n c k"]
    seed: int

    @full_precision()
    def kernel(self) -> Float[Tensor, "n n"]:
        """Estimate of `empirical_ntk`, the mean over outputs: (1/C) Σ_c ⟨S[i, c], S[j, c]⟩.

        Unbiased entry by entry. Its smallest eigenvalue is biased *down*, and is zero for
        C k < n.
        """
        rows = self.features.flatten(1)
        return rows @ rows.T / self.features.shape[1]

    def condition_number(self) -> float:
        """λ_max / λ_min of `kernel()`, an estimate from above: λ_min is biased down.

        Raises:
            ValueError: If k < 20 n: the sketch's own spectrum would then be what is measured.
        """
        n, _, k = self.features.shape
        expect(
            k >= _PER_EXAMPLE * n,
            "GradientSketch.condition_number()",
            f"a sketch of k ≥ {_PER_EXAMPLE} n = {_PER_EXAMPLE * n} numbers",
            f"k = {k} for n = {n} examples",
            hint="the smallest eigenvalue of a shorter sketch is that of the random signs; "
            "form the kernel with empirical_ntk, or sketch fewer examples.",
        )
        return condition_number(self.kernel())


@renamed(params="names")
@checked
def gradient_sketch(
    model: nn.Module,
    x: Inputs,
    k: int,
    *,
    seed: int,
    names: Sequence[str] | None = None,
    chunk_size: int | None = None,
    forward: Forward | None = None,
) -> GradientSketch:
    """Gradients of all examples under k random projections, layer by layer.

    The gradient of a weight is Σ_t δ_t ⊗ a_t, with δ_t the gradient of an output and a_t the
    input of the layer at place t. Each of the k numbers projects both sides separately,

        S_j = k^(-1/2) Σ_layers Σ_t (u_jᵀ δ_t)(v_jᵀ a_t),   u_j, v_j random signs,

    so that neither an example's gradient nor a random vector of P numbers is formed. The
    kernel ⟨S, S'⟩ is unbiased and its relative error falls as k^(-1/2), with a constant that
    is at most twice that of dense signs for layers with one place. (Projecting δ to √k numbers
    and a to √k others would cost less and be worse: its error falls as k^(-1/4).)

    The sums are divided by √k. Projectors that leave that out give kernels k times as large.

    **The smallest eigenvalue is biased down**, roughly by (1 − √(n/k))² for one output: to a
    quarter at k = 4 n, to zero at k = n. `GradientSketch.condition_number` refuses below
    k = 20 n, where up to two fifths may still be missing.

    Args:
        model: A module in evaluation mode; left as it was.
        x: n examples.
        k: Numbers per gradient.
        seed: Of the signs. Same seed, same k, same model: same projection, for any examples.
        names: Names of the parameters that make up θ; `None` means all that require a
            gradient.
        chunk_size: Examples differentiated at a time; never changes the result.
        forward: ``forward(model, x)`` that returns the outputs as one tensor, for a model that
            returns something else.

    Raises:
        ValueError: As `empirical_ntk`, or if `k` < 1.
        TypeError: If `x` holds no tensors or `model` returns none.
        NumericalError: If a gradient is not finite.

    Cost:
        C backward passes, and 2 n T k (C O + I) flops for a layer that maps I to O numbers at
        T places. Memory is n C k numbers, one chunk's factors, and k · 8192 signs. Biases,
        norm layers and parameters no rule covers are formed per example of a chunk and
        projected; an embedding draws k signs for each of its entries, 8192 at a time. The
        check of the rules takes one gradient of a sum over examples, as a training step does.

    Example:
        >>> model = torch.nn.Linear(2, 1, bias=False)
        >>> x = torch.tensor([[3.0, 4.0]])
        >>> sketch = gradient_sketch(model, x, 4000, seed=0)
        >>> sketch.features.shape, 23 < sketch.kernel().item() < 27  # ‖x‖² = 25
        (torch.Size([1, 1, 4000]), True)

    References:
        Park et al. (2023), arXiv:2303.14186: random projections of gradients for attribution.
        Choe et al. (2024), arXiv:2405.13954: projecting δ and a separately, there to a grid;
        the independent pairs used here are a Khatri–Rao sketch.
    """
    model = seen_through(model, forward, "gradient_sketch")
    chosen = chosen_params(model, x, None, names, chunk_size, "gradient_sketch", "x")
    expect(isinstance(k, int) and k >= 1, "gradient_sketch(k=...)", "an integer ≥ 1", k)
    expect(isinstance(seed, int), "gradient_sketch(seed=...)", "an integer", seed)
    x = detached(x)
    with opened(model, chosen):
        plan, uses = make_plan(model, x, chosen, "gradient_sketch(model=...)")
        numbers = {name: i for i, name in enumerate(plan.params)}
        size = chunk_size or _HELD
        try:
            differentiator = Differentiator(model, plan, uses, blocks=True, pairs_first=True)
            features = _sketched(differentiator, x, k, seed, numbers, size)
        except GraphChanged:
            plain = plan.without_rules()
            differentiator = Differentiator(model, plain, {}, blocks=True, pairs_first=True)
            features = _sketched(differentiator, x, k, seed, numbers, size)
    bad = int((~torch.isfinite(features)).sum())
    expect(
        bad == 0,
        "gradient_sketch(model=...)",
        "finite gradients",
        f"{bad} numbers of the sketch that are NaN or infinite",
        hint="look for weights or activations that overflow; .double() has more room.",
        error=NumericalError,
    )
    return GradientSketch(features, seed)


def _sketched(
    differentiator: Differentiator,
    x: Inputs,
    k: int,
    seed: int,
    numbers: dict[str, int],
    size: int,
) -> Float[Tensor, "n c k"]:
    """The sketch, a chunk of examples at a time."""
    parts = [
        _project(differentiator, differentiator.factors(take(x, part), size), k, seed, numbers)
        for part in chunks(n_examples(x), size)
    ]
    return torch.cat(parts, 1).transpose(0, 1) / k**0.5


def _project(
    differentiator: Differentiator, factors: Factors, k: int, seed: int, numbers: dict[str, int]
) -> Float[Tensor, "c n k"]:
    """The sums over layers and places for some examples."""
    total: Tensor | float = 0.0
    recipe = differentiator.recipe
    for (weight, _), (left, right) in zip(recipe.pairs, factors.pairs, strict=True):
        number = numbers[weight]
        rows = (
            _times_signs(right, k, (seed, number, 1))
            if right.is_floating_point()
            else _lookup_signs(right, _entries(differentiator, weight), k, (seed, number, 1), left)
        )
        columns = _times_signs(left, k, (seed, number, 0))
        total = total + torch.einsum("cntk,ntk->cnk", columns, rows)
    if factors.dense is not None:
        for name, place in recipe.dense.items():
            dense = factors.dense[..., place]
            total = total + _times_signs(dense, k, (seed, numbers[name], 2))
    assert isinstance(total, Tensor)
    return total


def _entries(differentiator: Differentiator, weight: str) -> int:
    """Rows of an embedding's table."""
    return differentiator.plan.params[weight].shape[0]


def _signs(rows: int, k: int, key: tuple[int, int, int], like: Tensor) -> Iterator[Tensor]:
    """Random signs of a matrix with k columns, in blocks of rows that depend on `key` alone."""
    for block in range(-(-rows // _ROWS)):
        entropy = [abs(key[0]), int(key[0] < 0), *key[1:], block]
        start = np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> np.uint64(1)
        draw = torch.Generator().manual_seed(int(start))
        count = min(_ROWS, rows - block * _ROWS)
        yield (2 * torch.randint(0, 2, (count, k), generator=draw, dtype=torch.int8) - 1).to(like)


def _times_signs(values: Tensor, k: int, key: tuple[int, int, int]) -> Tensor:
    """Values times a matrix of signs, along the last axis."""
    size = values.shape[-1]
    total = values.new_zeros(*values.shape[:-1], k)
    for block, signs in enumerate(_signs(size, k, key, values)):
        total += values[..., block * _ROWS : (block + 1) * _ROWS] @ signs
    return total


def _lookup_signs(
    index: Tensor, entries: int, k: int, key: tuple[int, int, int], like: Tensor
) -> Tensor:
    """Rows of a matrix of signs at the given indices: the one-hot inputs' projections."""
    rows = like.new_zeros(*index.shape, k)
    for block, signs in enumerate(_signs(entries, k, key, like)):
        here = (index >= block * _ROWS) & (index < block * _ROWS + len(signs))
        rows[here] = signs[index[here] - block * _ROWS]
    return rows
