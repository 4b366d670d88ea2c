"""How gradients pass what normalises each group of numbers of an example on its own."""

import torch
from torch import Tensor

from overparam._batch import chunks

# Numbers passed on at a time, so that they are read again from cache.
_TOGETHER = 2**20


def passed_on(
    gradient: Tensor, scale: Tensor, normalised: Tensor, out: Tensor, *, centred: bool = True
) -> Tensor:
    """δ to the input of Y = gain ∘ x̂ + …, x̂ = (X − mean X) / std X, of groups.

    With g = δ ∘ gain / std, which `scale` gives, it is g − mean(g) − x̂ mean(g ∘ x̂).

    Args:
        gradient: δ, (K, n, …).
        scale: gain / std, (n, …).
        normalised: x̂, (n, …, numbers of a group), with the same numbers as `scale`.
        out: Memory for the result; may be that of δ.
        centred: Whether the mean was subtracted; without it the gradient's is not either.
    """
    k, n = gradient.shape[:2]
    for part in chunks(n, max(1, _TOGETHER // max(1, k * scale[:1].numel()))):
        x = normalised[part]
        there = torch.mul(gradient[:, part], scale[part], out=out[:, part])
        groups = there.view(k, *x.shape)
        along = (groups * x).mean(-1, keepdim=True)
        if centred:
            groups.sub_(groups.mean(-1, keepdim=True))
        groups.addcmul_(x, along, value=-1)
    return out
