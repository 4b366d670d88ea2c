"""Optimal transport whose cost learns from the classes, by turns: coupling, labels, directions."""

import math
from dataclasses import dataclass

import numpy as np

from overparam.transport.couplings import (
    entropic_coupling,
    exact_coupling,
    expect_pairs_fit,
    relaxed_coupling,
    typical,
)
from overparam.transport.scatter import (
    class_scatter,
    coupling_scatter,
    discriminant_directions,
    squared_distances,
)

# Which a change of the labels must stay below, as a share of the target rows, to be the last.
SETTLED = 1e-3


@dataclass(frozen=True)
class DiscriminantOptions:
    """How discriminant transport is computed; `DiscriminantTransportClassifier` describes each.

    Attributes:
        target_priors: Shares of the classes in the target, "source" or "estimate".
    """

    n_components: int | None = None
    theta: float = 0.5
    mu: float = 1.0
    raw_share: float = 0.0
    reg: float = 0.05
    shrinkage: float = 0.1
    pca_components: int | None = None
    center: bool = True
    target_priors: str | np.ndarray = "source"
    max_iter: int = 15


@dataclass(frozen=True, eq=False)
class DiscriminantResult:
    """What discriminant transport found, of n source and m target rows and C classes.

    Attributes:
        components: W, shape ``(p, d)``.
        basis: Principal directions that were projected to first, ``(p, k)``, or None.
        source_mean: What source rows are less before they are projected.
        target_mean: The same of target rows.
        coupling: T, shape ``(n, m)``, of mass 1.
        cost: What it minimises, divided by its median.
        source_weights: Row sums that were asked for.
        probabilities: Of the classes of each target row, ``(m, C)``.
        labels_path: The likeliest class of each target row after every round.
        priors: Shares of the classes in the target.
        converged: Whether the labels settled.
    """

    components: np.ndarray
    basis: np.ndarray | None
    source_mean: np.ndarray
    target_mean: np.ndarray
    coupling: np.ndarray
    cost: np.ndarray
    source_weights: np.ndarray
    probabilities: np.ndarray
    labels_path: list[np.ndarray]
    priors: np.ndarray
    converged: bool


def discriminant_transport(
    source: np.ndarray,
    labels: np.ndarray,
    target: np.ndarray,
    n_classes: int,
    options: DiscriminantOptions,
    where: str,
    *,
    known: np.ndarray | None = None,
    penalty: float = 10.0,
) -> DiscriminantResult:
    """Learn a coupling and the directions that its cost looks at.

    Args:
        source: Shape ``(n, p)``, finite.
        labels: Positions of their classes, each below `n_classes` at least once.
        target: Shape ``(m, p)``.
        n_classes: C ≥ 2.
        options: Numbers in their ranges.
        where: The call, for messages.
        known: Positions of the classes of target rows, -1 where they are not known.
        penalty: What a pair of rows known to be of different classes costs, as a multiple of
            the largest cost.

    Cost: a round takes one coupling of O(nm) memory and O(nm(p + d) + p³) time.
    """
    expect_pairs_fit(len(source), len(target), where)
    source_mean, target_mean = (
        x.mean(0) if options.center else np.zeros(x.shape[1]) for x in (source, target)
    )
    source, target = source - source_mean, target - target_mean
    basis = principal_directions(source, target, options.pca_components)
    if basis is not None:
        source, target = source @ basis, target @ basis
    members = np.eye(n_classes)[labels]
    sizes = members.sum(0)
    p = source.shape[1]
    d = min(options.n_components or n_classes - 1, p)
    raw = None
    if options.raw_share:
        raw = squared_distances(source, target)
        raw /= typical(raw)
    wrong = None
    if known is not None and (known >= 0).any():
        wrong = (known[None, :] >= 0) & (known[None, :] != labels[:, None])

    priors = sizes / sizes.sum()
    if isinstance(options.target_priors, np.ndarray):
        priors = options.target_priors
    between, within = class_scatter(source, members)
    components = discriminant_directions(between, within, d, options.shrinkage)
    uniform = np.full(len(target), 1 / len(target))
    path: list[np.ndarray] = []
    converged = False
    for _ in range(options.max_iter):
        cost = squared_distances(source @ components, target @ components)
        cost /= typical(cost)
        if raw is not None:
            cost = (1 - options.raw_share) * cost + options.raw_share * raw
        if wrong is not None:
            cost[wrong] = penalty * cost.max()
        weights = (priors / sizes)[labels]
        coupling, weights = _coupled(weights, uniform, cost, options, where)
        if isinstance(options.target_priors, str) and options.target_priors == "estimate":
            priors = members.T @ coupling.sum(1)
        columns = coupling.sum(0)
        probabilities = coupling.T @ members / np.where(columns > 0, columns, 1)[:, None]
        if known is not None:
            probabilities[known >= 0] = np.eye(n_classes)[known[known >= 0]]
        found = probabilities.argmax(1)
        changed = np.mean(found != path[-1]) if path else math.inf
        path.append(found)
        if changed < SETTLED:
            converged = True
            break
        if len(path) < options.max_iter:
            numerator, noise = between, within
            if options.theta:
                sure = np.eye(n_classes)[found] * probabilities.max(1)[:, None]
                between_t, within_t = class_scatter(target, sure)
                numerator = (1 - options.theta) * between + options.theta * between_t
                noise = (1 - options.theta) * within + options.theta * within_t
            if options.mu:
                noise = noise + options.mu * coupling_scatter(source, target, coupling)
            components = discriminant_directions(numerator, noise, d, options.shrinkage)
    return DiscriminantResult(
        components=components if basis is None else basis @ components,
        basis=basis,
        source_mean=source_mean,
        target_mean=target_mean,
        coupling=coupling,
        cost=cost,
        source_weights=weights,
        probabilities=probabilities,
        labels_path=path,
        priors=priors,
        converged=converged,
    )


def _coupled(
    weights: np.ndarray, uniform: np.ndarray, cost: np.ndarray,
    options: DiscriminantOptions, where: str,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """The coupling of one round and the row sums that it was asked for."""
    if isinstance(options.target_priors, str) and options.target_priors == "estimate":
        coupling = relaxed_coupling(weights, uniform, cost, options.reg or 0.05, 0.5, where)
        return coupling, coupling.sum(1)
    present = weights > 0
    if present.all():
        rows, part = slice(None), cost
    else:
        rows, part = np.flatnonzero(present), cost[present]
    if options.reg:
        plan = entropic_coupling(weights[rows], uniform, part, options.reg, where)
    else:
        plan = exact_coupling(weights[rows], uniform, part, where)
    if present.all():
        return plan, weights
    coupling = np.zeros_like(cost)
    coupling[rows] = plan
    return coupling, weights


def principal_directions(
    source: np.ndarray, target: np.ndarray, count: int | None
) -> np.ndarray | None:
    """Directions of the largest variance of both sets together, each set counting alike."""
    p = source.shape[1]
    if count is None or count >= p:
        return None
    rows = np.concatenate([x / math.sqrt(len(x)) for x in (source, target) if len(x)])
    _, _, directions = np.linalg.svd(rows, full_matrices=False)
    return directions[:count].T
