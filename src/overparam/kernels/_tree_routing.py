"""How a tree predicts: the share that every leaf has in a row, hard or with soft borders."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from overparam.kernels.tree_splits import Split

# Tried for the width of soft borders, beside 0.
TEMPERATURES = tuple(float(t) for t in np.geomspace(0.025, 4.5, 20))
# Leaves that a row is averaged over: so many of the heaviest, until their share is this.
MOST_LEAVES, SHARE = 12, 0.99

# Outputs of a leaf for rows, a column for every target or class.
Outputs = Callable[[Any, np.ndarray], np.ndarray]


def leaf_shares(tree: Split | int, x: np.ndarray, temperature: float) -> np.ndarray:
    """Share of every leaf in every row's prediction; the rows sum to 1.

    Args:
        tree: Its leaves are numbered from 0.
        x: Rows.
        temperature: Width of the borders, in spreads of the splits; 0 is hard routing.

    Returns:
        A row for each of x, a column for each leaf.
    """
    paths = dict(_paths(tree))
    shares = np.zeros((len(x), len(paths)))
    for leaf, path in paths.items():
        share = np.ones(len(x))
        for split, right in path:
            margin = split.margin(x) if right else -split.margin(x)
            if temperature > 0:
                share *= _sigmoid(margin / (temperature * split.spread))
            else:
                share *= margin > 0 if right else margin >= 0
        shares[:, leaf] = share
    if temperature > 0:
        order = np.argsort(-shares, axis=1, kind="stable")
        ranked = np.take_along_axis(shares, order, axis=1)
        before = np.cumsum(ranked, axis=1) - ranked
        ranked[(before >= SHARE) | (np.arange(shares.shape[1]) >= MOST_LEAVES)] = 0.0
        np.put_along_axis(shares, order, ranked, axis=1)
        shares /= shares.sum(axis=1, keepdims=True)
    return shares


def averaged(
    leaves: Sequence[Any], shares: np.ndarray, x: np.ndarray, outputs: Outputs
) -> np.ndarray:
    """Outputs of the leaves, weighted; a leaf is asked for the rows that it has a share in."""
    total: np.ndarray | None = None
    for place, leaf in enumerate(leaves):
        used = shares[:, place] > 0
        if used.any():
            part = outputs(leaf, x[used])
            if total is None:
                total = np.zeros((len(x), part.shape[1]))
            total[used] += shares[used, place, None] * part
    assert total is not None
    return total


def averaged_slopes(
    tree: Split | int,
    leaves: Sequence[Any],
    x: np.ndarray,
    temperature: float,
    outputs: Outputs,
    slopes: Outputs,
) -> np.ndarray:
    """Derivatives of what `averaged` gives, (rows, outputs, columns of x).

        ∇ Σ_l s_l f_l = Σ_l s_l ∇f_l + Σ_l s_l (g_l − Σ_k s_k g_k) f_l,     g_l = ∇ log of the
        product of sigmoids

    Hard borders have no second term, and which leaves are kept counts as given.

    Args:
        tree: As for `leaf_shares`.
        leaves: Fitted estimators.
        x: Rows.
        temperature: As for `leaf_shares`.
        outputs: Of a leaf, a column each.
        slopes: Derivatives of a leaf's outputs.
    """
    shares = leaf_shares(tree, x, temperature)
    total: np.ndarray | None = None
    paths = dict(_paths(tree))
    logs = np.zeros((len(x), x.shape[1]))  # Σ_k s_k g_k
    if temperature > 0:
        for place in range(len(leaves)):
            logs += shares[:, place, None] * _log_slopes(paths[place], x, temperature)
    for place, leaf in enumerate(leaves):
        used = shares[:, place] > 0
        if not used.any():
            continue
        part = shares[used, place, None, None] * slopes(leaf, x[used])
        if temperature > 0:
            moved = _log_slopes(paths[place], x[used], temperature) - logs[used]
            moved *= shares[used, place, None]
            part = part + outputs(leaf, x[used])[:, :, None] * moved[:, None]
        if total is None:
            total = np.zeros((len(x), *part.shape[1:]))
        total[used] += part
    assert total is not None
    return total


def _log_slopes(path: tuple, x: np.ndarray, temperature: float) -> np.ndarray:
    """Derivative of the logarithm of a leaf's product of sigmoids."""
    total = np.zeros((len(x), x.shape[1]))
    for split, right in path:
        width = temperature * split.spread * (1 if right else -1)
        total += np.outer(1 - _sigmoid(split.margin(x) / width), split.direction / width)
    return total


def best_temperature(
    tree: Split | int,
    leaves: Sequence[Any],
    x: np.ndarray,
    numbers: np.ndarray,
    outputs: Outputs,
    weights: np.ndarray | None = None,
) -> float:
    """The temperature of least squared error on rows held out, 0 among those tried."""
    tried = (0.0, *TEMPERATURES)
    known = np.stack([outputs(leaf, x) for leaf in leaves], axis=1)
    weight = np.ones((len(x), 1)) if weights is None else weights[:, None]
    errors = []
    for t in tried:
        gaps = np.einsum("nl,nlc->nc", leaf_shares(tree, x, t), known) - numbers
        errors.append(float((weight * np.square(gaps)).sum()))
    return tried[int(np.argmin(errors))]


def _paths(node: Split | int, path: tuple = ()) -> Iterator[tuple[int, tuple]]:
    """Every leaf with the splits that lead to it, and whether each is passed to the right."""
    if isinstance(node, Split):
        yield from _paths(node.left, (*path, (node, False)))
        yield from _paths(node.right, (*path, (node, True)))
    else:
        yield node, path


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return (1 + np.tanh(x / 2)) / 2
