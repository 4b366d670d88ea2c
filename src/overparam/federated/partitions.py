"""Who has which examples: evenly, by Dirichlet shares of each class, or by few classes each."""

import numpy as np
from torch import Tensor

from overparam._checked import checked
from overparam._errors import expect
from overparam._types import Count, Natural, Positive

Parts = list[np.ndarray]


@checked
def iid_partition(n: Count, n_clients: Count, *, seed: Natural = 0) -> list[np.ndarray]:
    """Examples dealt out at random, as evenly as they go.

    Args:
        n: How many examples there are.
        n_clients: At most n.
        seed: Of the order.

    Returns:
        Rows of each client, ascending.

    Example:
        >>> [len(part) for part in iid_partition(10, 3)]
        [4, 3, 3]
    """
    _expect_enough("iid_partition", n, n_clients, 1)
    order = np.random.default_rng(seed).permutation(n)
    return [np.sort(part) for part in np.array_split(order, n_clients)]


@checked
def dirichlet_partition(
    labels: Tensor, n_clients: Count, alpha: Positive, *, least: Count = 1, seed: Natural = 0
) -> list[np.ndarray]:
    """Each class shared out over the clients in Dirichlet(α) proportions: the smaller, the rarer.

    With α = 0.1 most clients have one or two classes, with α = 100 all have all. A client that
    comes away with fewer than `least` examples is filled up from the one that has most, so that
    there is an answer for every α.

    Args:
        labels: (n,) whole numbers.
        n_clients: How many.
        alpha: α, of every client.
        least: Examples that each has at least; n_clients · least ≤ n.
        seed: Of shares and order.

    Returns:
        Rows of each client, ascending; each example once.

    Source: Hsu, Qi, Brown (2019), arXiv:1909.06335, by class; the filling is ours.

    Example:
        >>> import torch
        >>> labels = torch.arange(10).repeat(20)
        >>> sizes = [len(part) for part in dirichlet_partition(labels, 8, 0.1, least=4)]
        >>> min(sizes) >= 4, sum(sizes)
        (True, 200)
    """
    y = _expect_labels("dirichlet_partition", labels)
    _expect_enough("dirichlet_partition", len(y), n_clients, least)
    draw = np.random.default_rng(seed)
    parts: list[list[int]] = [[] for _ in range(n_clients)]
    for label in np.unique(y):
        rows = draw.permutation(np.flatnonzero(y == label))
        shares = _dirichlet(draw, alpha, n_clients)
        cuts = (np.cumsum(shares)[:-1] * len(rows)).round().astype(int)
        for part, given in zip(parts, np.split(rows, cuts), strict=True):
            part.extend(given.tolist())
    for part in parts:
        while len(part) < least:
            richest = max(parts, key=len)
            part.append(richest.pop(int(draw.integers(len(richest)))))
    return [np.sort(np.array(part)) for part in parts]


@checked
def pathological_partition(
    labels: Tensor, n_clients: Count, classes: Count, *, seed: Natural = 0
) -> list[np.ndarray]:
    """Examples sorted by class, cut into equal shards, and `classes` shards for each client.

    A client has at most about `classes` classes; a shard that lies across a border adds one.

    Args:
        labels: (n,) whole numbers; n_clients · classes ≤ n.
        n_clients: How many.
        classes: Shards of each client.
        seed: Of the dealing.

    Returns:
        Rows of each client, ascending; each example once.

    Source: McMahan et al. (2017), arXiv:1602.05629.

    Example:
        >>> import torch
        >>> labels = torch.arange(10).repeat(20)
        >>> parts = pathological_partition(labels, 10, 2)
        >>> max(len(torch.unique(labels[part])) for part in parts)
        2
    """
    y = _expect_labels("pathological_partition", labels)
    _expect_enough("pathological_partition", len(y), n_clients, classes)
    draw = np.random.default_rng(seed)
    mixed = draw.permutation(len(y))
    order = mixed[np.argsort(y[mixed], kind="stable")]
    shards = np.array_split(order, n_clients * classes)
    dealt = draw.permutation(len(shards)).reshape(n_clients, classes)
    return [np.sort(np.concatenate([shards[i] for i in hand])) for hand in dealt]


def _dirichlet(draw: np.random.Generator, alpha: float, n: int) -> np.ndarray:
    """Shares that sum to 1; below the least that floats can share, all to one."""
    shares = draw.dirichlet(np.full(n, alpha))
    if not np.isfinite(shares).all() or abs(shares.sum() - 1) > 1e-6:
        shares = np.eye(n)[draw.integers(n)]
    return shares


def _expect_labels(name: str, labels: Tensor) -> np.ndarray:
    whole = not labels.is_floating_point() and labels.ndim == 1
    expect(
        whole, f"{name}(labels=...)", "a row of whole numbers",
        f"the dtype {labels.dtype} and the shape {tuple(labels.shape)}",
    )  # fmt: skip
    return labels.cpu().numpy()


def _expect_enough(name: str, n: int, n_clients: int, each: int) -> None:
    expect(
        n_clients * each <= n, f"{name}(n_clients=...)",
        f"at most {n} examples to be asked for", f"{n_clients} clients with {each} each",
    )  # fmt: skip
