"""The baseline: gradients of embeddings, clipped and noised number by number, and DP-SGD."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from overparam.federated.vertical.training import VerticalData


def first_order(
    parties: list[nn.Sequential], head: nn.Linear, train: VerticalData, test: VerticalData,
    lr: float, clip: float, multiplier: float, epochs: int, batch_size: int, seed: int,
) -> float:  # fmt: skip
    """Test accuracy after training with gradients sent down, of which each row is a release.

    One example changes its own row alone, by 2C at most; so each number of it gets noise of
    standard deviation 2C z. The head's mean of clipped gradients gets 2C z/B.
    """
    draw = torch.Generator().manual_seed(seed)

    def noised(rows: Tensor, scale: float) -> Tensor:
        return rows + scale * torch.randn(rows.shape, generator=draw)

    for _ in range(epochs):
        for rows in torch.randperm(len(train), generator=draw).split(batch_size):
            embedded = [party(x[rows]) for party, x in zip(parties, train.parts, strict=True)]
            seen = torch.cat(embedded, 1).detach().requires_grad_()
            outputs = head(seen)
            loss = cross_entropy(outputs, train.y[rows], reduction="sum")
            slopes, above = torch.autograd.grad(loss, [seen, outputs])
            with torch.no_grad():
                each = torch.cat([(above[:, :, None] * seen[:, None]).flatten(1), above], 1)
                mean = noised(clipped(each, clip).sum(0), 2 * clip * multiplier) / batch_size
                head.weight.sub_(lr * mean[: head.weight.numel()].view_as(head.weight))
                head.bias.sub_(lr * mean[head.weight.numel() :])
            for party, h, slope in zip(
                parties, embedded, slopes.chunk(len(parties), 1), strict=True
            ):
                told = noised(clipped(slope, clip), 2 * clip * multiplier) / batch_size
                params = list(party.parameters())
                with torch.no_grad():
                    for p, g in zip(params, torch.autograd.grad(h, params, told), strict=True):
                        p -= lr * g
    with torch.no_grad():
        parts = [party(x) for party, x in zip(parties, test.parts, strict=True)]
        return float((head(torch.cat(parts, 1)).argmax(1) == test.y).double().mean())


def clipped(rows: Tensor, clip: float) -> Tensor:
    """Rows cut to a length."""
    return rows * (clip / rows.norm(dim=1, keepdim=True).clamp(min=clip))
