"""How many labels look drawn at random, from what a network takes for the alternatives."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from overparam._checked import checked
from overparam._errors import expect


@checked
def implausible_labels(
    probabilities: Float[Tensor, "n C"], labels: Int[Tensor, "n"]
) -> Float[Tensor, "n"]:
    """Which labels rank among the lower half of the alternatives to the network's first guess.

    With C classes there are C − 1 alternatives, and ⌊(C−1)/2⌋ of them are the lower half. A
    hard sample with a right label is not among them: the right class is a near second. A label
    drawn at random is, about every other time.

    Args:
        probabilities: What the network believes, best averaged over the epochs so far.
        labels: Given labels, all known.

    Returns:
        1 for an implausible label, else 0.

    Raises:
        ValueError: Labels of another length or outside 0 … C − 1, or two classes, which leave
            no alternatives to rank.

    Cost:
        O(n · C).

    Example:
        >>> p = torch.tensor([[0.6, 0.3, 0.1], [0.6, 0.3, 0.1], [0.6, 0.3, 0.1]])
        >>> implausible_labels(p, torch.tensor([0, 1, 2]))
        tensor([0., 0., 1.])
    """
    _expect_labels(probabilities, labels, 0, "implausible_labels")
    return _implausible(probabilities, labels)


def _expect_labels(probabilities: Tensor, labels: Tensor, least: int, where: str) -> None:
    n, classes = probabilities.shape
    expect(
        classes >= 3,
        f"{where}(probabilities=...)",
        "at least three classes",
        classes,
        hint="with two there are no alternatives to the first guess to rank.",
    )
    expect(labels.shape == (n,), f"{where}(labels=...)", f"shape ({n},)", tuple(labels.shape))
    low, high = int(labels.min()), int(labels.max())
    expect(
        least <= low and high < classes,
        f"{where}(labels=...)",
        f"labels from {least} to {classes - 1}",
        f"{low} to {high}",
        hint="leave out the samples whose label is not known.",
    )


def _implausible(probabilities: Tensor, labels: Tensor) -> Tensor:
    """As `implausible_labels`, with `nan` for −1 and wherever there is nothing to rank."""
    n, classes = probabilities.shape
    expect(
        labels.shape == (n,), "implausible_labels(labels=...)", f"shape ({n},)", tuple(labels.shape)
    )
    if classes < 3:
        return torch.full((n,), math.nan)
    given = probabilities.gather(1, labels.clamp(min=0)[:, None])
    rank = (probabilities > given).sum(1)
    found = (rank >= classes - (classes - 1) // 2).float()
    return torch.where(labels >= 0, found, math.nan)


@checked
def random_label_share(probabilities: Float[Tensor, "n C"], labels: Int[Tensor, "n"]) -> float:
    """Estimated share of labels that were replaced by a random different one.

        (C−1) / ⌊(C−1)/2⌋ · (share of implausible labels)

    It needs a network that has learned the easy part and has not memorised the rest: before,
    it is too large, afterwards it falls to zero. Labels confused within pairs of similar
    classes do not count: they are plausible.

    Args:
        probabilities: What the network believes, averaged over the epochs so far.
        labels: Given labels; −1 for one that is not known.

    Returns:
        A share, which chance can push above 1.

    Raises:
        ValueError: Labels of another length or outside −1 … C − 1, two classes, or no known
            label.

    Cost:
        O(n · C).

    Example:
        Nine of ten labels are the first guess, one is the last:

        >>> p = torch.tensor([[0.6, 0.3, 0.1]]).expand(10, 3)
        >>> round(random_label_share(p, torch.tensor([0] * 9 + [2])), 2)
        0.2
    """
    _expect_labels(probabilities, labels, -1, "random_label_share")
    expect(
        (labels >= 0).any(), "random_label_share(labels=...)", "at least one known label", "none"
    )
    return share_of_random_labels(probabilities, labels)


def share_of_random_labels(probabilities: Tensor, labels: Tensor) -> float:
    """As `random_label_share`, but `nan` with two classes or no known label."""
    found = _implausible(probabilities, labels)
    classes = probabilities.shape[1]
    if classes < 3:
        return math.nan
    return (classes - 1) / ((classes - 1) // 2) * float(found.nanmean())
