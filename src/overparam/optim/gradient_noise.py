"""How much the gradients of parts of a batch differ, and how much they have in common."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from overparam._batch import call, n_examples, take
from overparam._checked import checked
from overparam._errors import expect
from overparam._model import expect_inputs, trainable, undisturbed
from overparam._order import expect_order
from overparam._own_loss import seen_with_loss
from overparam._random_numbers import seeded
from overparam._training_mode import as_trained, mixes
from overparam._types import Count, Forward, Inputs, Loss, Targets
from overparam.optim.noise_scale import FEWEST, NoiseScale, noise_scale

# Where a batch's statistics enter, a part has statistics of its own: it must not be too small.
TIED_PART = 16
# Numbers in gradients that are kept; of more they are computed a second time.
_KEPT = 1 << 26


@checked(result="anything")
def gradient_noise_scale(
    model: nn.Module,
    x: Inputs,
    y: Targets | None,
    loss: Loss | None,
    *,
    parts: Count = 32,
    examples: float | None = None,
    seed: int = 0,
    forward: Forward | None = None,
) -> NoiseScale:
    """The simple noise scale tr Σ / ‖G‖² of a model's gradient, in examples.

    Below it, twice the batch makes the gradient of a step nearly twice as sure; far above it, a
    larger batch adds next to nothing. The examples are divided into equal parts at random; with
    gᵢ the gradients of k parts of b examples each and ḡ their mean,

        tr Σ = b/(k − 1) Σᵢ |gᵢ − ḡ|²,    ‖G‖² = |ḡ|² − tr Σ/(kb)

    are free of bias. Of a part each, the examples' own gradients are never needed. The interval
    is that of the jackknife over parts.

    Where training ties a batch together, as batch norm does, a part has statistics of its own;
    then the scale is that of batches of the parts' size, which is 16 at least. What a layer draws
    at random, such as dropout's masks, differs from part to part, and counts as noise.

    Args:
        model: The module, in the mode in which it is trained (one in evaluation mode altogether is
            measured in training mode where that ties examples together, else as it is).
        x: Examples drawn at random from what is trained on, hundreds where batches are small: of
            few, the signal drowns in the noise, and only `low` is known.
        y: Targets.
        loss: `loss(outputs, targets)`; `None` for the one that the model computes inside. A sum
            and a mean have the same scale.
        parts: k; fewer where there are not so many examples.
        examples: n, if batches are drawn without replacement from n examples, the gradient of
            which is the signal; `None` where there are always new ones.
        seed: Of the division into parts, and of random layers.
        forward: ``forward(model, x)`` that returns the outputs as one tensor, for a model that
            returns something else.

    Returns:
        The scale with an interval; `scale` is `nan` where the signal cannot be told from zero.

    Raises:
        ValueError: Fewer than four parts: eight examples, or 64 where they are tied.

    Cost:
        A forward and backward pass of all examples; memory: the gradients of all parts, or,
        where those are more than 67 million numbers, two of them and a second pass.

    Example:
        Gradients of f = w·x under ½(f − y)² are −y for x = 1: their mean is 1, their variance 4.

        >>> _ = torch.manual_seed(0)
        >>> model = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.zeros_(model.weight)
        >>> x, y = torch.ones(4096, 1), 1 + 2 * torch.randn(4096, 1)
        >>> found = gradient_noise_scale(model, x, y, lambda f, y: (f - y).square().mean() / 2)
        >>> found.low < 4 < found.high
        True

    References:
        McCandlish, Kaplan, Amodei and others (2018), arXiv:1812.06162.
    """
    where = "gradient_noise_scale"
    expect_order(where, model=model, x=x, y=y, loss=loss)
    model, loss = seen_with_loss(where, model, x, y, loss, forward)
    expect_inputs(x, f"{where}(x=...)")
    expect_inputs(y, f"{where}(y=...)", n_examples(x))
    params = list(trainable(model, None, f"{where}(model=...)").values())
    n = n_examples(x)
    with undisturbed(model), as_trained(model, x):
        least = TIED_PART if mixes(model, x) else 1
        k = min(parts, n // least)
        expect(
            k >= FEWEST, f"{where}(x=..., parts=...)",
            f"{FEWEST} parts or more, and {FEWEST * least} examples or more",
            f"{parts} parts and {n} examples",
        )  # fmt: skip
        order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
        pieces = equal_parts(order, k)

        def gradients() -> Iterable[list[Tensor]]:
            with seeded(seed, params[0].device):
                for piece in pieces:
                    yield gradient(model, params, take(x, piece), take(y, piece), loss)

        few = k * sum(p.numel() for p in params) <= _KEPT
        each = list(gradients()) if few else None
        total = _sum(each or gradients())
        # Of each part: its own squared length, and its inner product with the sum.
        products = [(_inner(g, g), _inner(g, total)) for g in each or gradients()]
    return noise_scale(*_left_out(products, len(pieces[0])), examples=examples)


def equal_parts(order: Tensor, k: int) -> list[Tensor]:
    """So many parts of one size; what is left over of the examples is in none."""
    return list(order[: len(order) // k * k].chunk(k))


def gradient(
    model: nn.Module, params: Sequence[Tensor], x: Inputs, y: Any, loss: Loss
) -> list[Tensor]:
    """Of the loss of a batch, by each parameter; zero for one that the loss does not depend on."""
    value = loss(call(model, x), y)
    found = torch.autograd.grad(value.reshape(()), params, allow_unused=True)
    zipped = zip(params, found, strict=True)
    return [_plain(torch.zeros_like(p) if g is None else g.detach()) for p, g in zipped]


def _plain(g: Tensor) -> Tensor:
    """As dense real numbers of single precision at least, whatever the parameter has."""
    g = g.to_dense() if g.is_sparse else g
    if g.dtype in (torch.float16, torch.bfloat16):  # squares overflow, and sums lose small parts
        g = g.float()
    return torch.view_as_real(g.resolve_conj()) if g.is_complex() else g


def signal_and_noise(gradients: Iterable[list[Tensor]], size: int) -> tuple[float, float]:
    """Unbiased ‖G‖² and tr Σ from gradients of two or more parts of so many examples each.

    Two of them are held at a time.
    """
    squares: list[float] = []

    def counted() -> Iterator[list[Tensor]]:
        for g in gradients:
            squares.append(_inner(g, g))
            yield g

    total = _sum(counted())
    k, own = len(squares), math.fsum(squares)
    signal = (_inner(total, total) - own) / (k * (k - 1))
    return signal, size * (own / k - signal)


def _left_out(products: list[tuple[float, float]], size: int) -> tuple[list[float], list[float]]:
    """The jackknife's values of ‖G‖² and tr Σ, a pair for each part; their means are unbiased."""
    k = len(products)
    own, whole = (math.fsum(column) for column in zip(*products, strict=True))

    def estimates(own: float, whole: float, k: int) -> tuple[float, float]:
        signal = (whole - own) / (k * (k - 1))
        return signal, size * (own / k - signal)

    signal, noise = estimates(own, whole, k)
    without = [estimates(own - q, whole - 2 * r + q, k - 1) for q, r in products]
    signals = [k * signal - (k - 1) * other for other, _ in without]
    return signals, [k * noise - (k - 1) * other for _, other in without]


def _sum(gradients: Iterable[list[Tensor]]) -> list[Tensor]:
    total: list[Tensor] = []
    for found in gradients:
        if not total:
            total = [g.clone() for g in found]
        else:
            for so_far, g in zip(total, found, strict=True):
                so_far += g
    return total


def _inner(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """In double precision: what two parts have in common may be a millionth of their lengths."""
    parts = [torch.sum(a * b, dtype=torch.float64) for a, b in zip(one, other, strict=True)]
    return float(torch.stack(parts).sum())
