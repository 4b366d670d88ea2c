"""Lloyd's iteration: every row to its nearest centre, every centre to its rows."""

from typing import NamedTuple, Protocol

import numpy as np

from overparam.clustering._gemm import Products, Step
from overparam.clustering._geometry import Geometry, Planes
from overparam.clustering._rows import Rows


class Engine(Protocol):
    """What computes steps."""

    def step(self, planes: Planes) -> Step:
        """Labels and sums for some planes."""
        ...


class Clustering(NamedTuple):
    """Where an iteration ended; `labels` and divergences, `own`, are those of `centres`."""

    centres: np.ndarray
    labels: np.ndarray
    own: np.ndarray
    inertia: float
    n_iter: int


def lloyd(
    rows: Rows,
    geometry: Geometry,
    engine: Engine,
    centres: np.ndarray,
    *,
    max_iter: int,
    tol: float,
) -> Clustering:
    """Iterate until no label changes, or the centres move by less than `tol`, a divergence.

    No step raises the inertia, that of a cluster that was given a row included.
    """
    labels, n_iter = None, 0
    while n_iter < max_iter:
        n_iter += 1
        step = engine.step(geometry.planes(centres))
        filled = fill_empty(step, rows, geometry, centres)
        new = geometry.centres(filled.sums, filled.weights, centres)
        settled = filled is step and labels is not None and np.array_equal(step.labels, labels)
        near = not settled and (
            geometry.moved(new, centres) <= tol if tol else (new == centres).all()
        )
        centres, labels = new, step.labels
        if settled or near:
            break
    labels = Products(rows, geometry.reference).labels(geometry.planes(centres))
    own = geometry.own(rows, centres, labels)
    return Clustering(centres, labels, own, float(own @ rows.weights), n_iter)


def fill_empty(step: Step, rows: Rows, geometry: Geometry, centres: np.ndarray) -> Step:
    """Give every empty cluster the row that is furthest from its centre, and counts.

    Rows on their centres are left there: with fewer different rows than clusters, some stay empty.
    """
    empty = np.flatnonzero(step.weights == 0)
    if not len(empty):
        return step
    own = geometry.own(rows, centres, step.labels)
    own = np.where(rows.weights > 0, own, 0.0)
    furthest = np.argsort(-own, kind="stable")[: len(empty)]
    furthest = furthest[own[furthest] > 0]
    sums, weights = step.sums.copy(), step.weights.copy()
    for cluster, place in zip(empty, furthest, strict=False):
        x, w = rows.dense(slice(place, place + 1))[0] - geometry.reference, rows.weights[place]
        sums[step.labels[place]] -= w * x
        weights[step.labels[place]] -= w
        sums[cluster], weights[cluster] = w * x, w
    # A cluster that gave its last row away has rounding left of it.
    spent = weights <= 1e-12 * step.weights
    sums[spent & (step.weights > 0)] = 0.0
    weights[spent & (step.weights > 0)] = 0.0
    return Step(step.labels, sums, weights) if len(furthest) else step
