"""Epidemic Learning: every node averages with a few random others."""

from typing import Any

import numpy as np

from overparam._checked import checked
from overparam._errors import complaint, expect
from overparam._types import Count, Natural
from overparam.federated.topologies.mixing import (
    MixingPlan,
    drawn_rows,
    others,
    stage_of,
)
from overparam.federated.topologies.topology import Edges, Gossip, Topology


def gossip_share(k: int | np.ndarray, n: int) -> Any:
    """α = (1 − k/(n−1))/(k+1): what is left where a node averages with k of n − 1 others."""
    return 0.0 if n == 1 else (1 - k / (n - 1)) / (k + 1)


def no_closed_form(where: str) -> Exception:
    """In-degrees that are random make β and d depend on their joint law."""
    return complaint(
        where, "gossip='pull', which has a closed form", "gossip='push'",
        "measured_consensus(topology) estimates it.",
    )  # fmt: skip


class EpidemicLocal(Topology):
    """EL Local: n nodes, each of which draws k others anew in every round.

    With "pull" a node averages its model with those of the k that it draws; with "push" it sends
    its model to them, and averages its own with whatever arrives. Pull, with
    α = (1 − k/(n−1))/(k+1): β = α − α(1−α)/n and d = α(1−α)/n. Push:
    τ = (1 − (1 − k/(n−1))ⁿ)/k − 1/(n−1), about 1 − 1/e for k = 1.

    Args:
        n: Nodes, two at least.
        k: Others that each draws, from 1 to n − 1.
        gossip: Whether what is drawn sends or receives.

    Source: de Vos et al. (2023), arXiv:2310.01972; the pull form is ours, checked by simulation.

    Example:
        >>> round(EpidemicLocal(100, 10).consensus_factor(), 4), EpidemicLocal(100, 10).edges()
        (0.081, 1000)
    """

    @checked
    def __init__(self, n: Count, k: Count, gossip: Gossip = "pull") -> None:
        expect(1 <= k < n, "EpidemicLocal(k=...)", f"an integer from 1 to {n - 1}", k)
        self.n_nodes, self.k, self.gossip = n, k, gossip

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n_nodes}, {self.k}, gossip={self.gossip!r})"

    @checked
    def sample(self, seed: Natural) -> MixingPlan:
        """As `Topology.sample`."""
        n = self.n_nodes
        rows = others(drawn_rows(np.random.default_rng(seed), n, n - 1, self.k))
        return MixingPlan([stage_of(rows, own=True, push=self.gossip == "push")])

    def edges(self, count: Edges = "directed") -> float:
        """As `Topology.edges`: nk, or half of it."""
        return self.n_nodes * self.k * (1 if count == "directed" else 0.5)

    def consensus_factor(self) -> float:
        """As `Topology.consensus_factor`, of pull."""
        if self.gossip == "push":
            raise no_closed_form("EpidemicLocal.consensus_factor()")
        alpha = gossip_share(self.k, self.n_nodes)
        return alpha - alpha * (1 - alpha) / self.n_nodes

    def mean_drift(self) -> float:
        """As `Topology.mean_drift`, of pull."""
        if self.gossip == "push":
            raise no_closed_form("EpidemicLocal.mean_drift()")
        alpha = gossip_share(self.k, self.n_nodes)
        return alpha * (1 - alpha) / self.n_nodes

    def consensus_error(self) -> float:
        """As `Topology.consensus_error`, of either."""
        n, k = self.n_nodes, self.k
        if self.gossip == "pull":
            return gossip_share(k, n)
        return (1 - (1 - k / (n - 1)) ** n) / k - 1 / (n - 1)


class EpidemicOracle(Topology):
    """EL Oracle: a random graph in which each of n nodes has k neighbours, drawn by somebody.

    Rows and columns both are averages, so the mean stands still: d = 0, and
    β = (1 − k/(n−1))/(k+1) for a graph uniform over relabellings.

    Args:
        n: Nodes, two at least.
        k: Neighbours of each, from 1 to n − 1; nk is even.

    Source: de Vos et al. (2023), arXiv:2310.01972.

    Example:
        >>> EpidemicOracle(100, 4).mean_drift()
        0.0
    """

    @checked
    def __init__(self, n: Count, k: Count) -> None:
        expect(1 <= k < n, "EpidemicOracle(k=...)", f"an integer from 1 to {n - 1}", k)
        even = n * k % 2 == 0
        expect(even, "EpidemicOracle(k=...)", "an even number of ends n k", n * k)
        self.n_nodes, self.k = n, k

    def __repr__(self) -> str:
        return f"EpidemicOracle({self.n_nodes}, {self.k})"

    @checked
    def sample(self, seed: Natural) -> MixingPlan:
        """As `Topology.sample`: a circulant graph with its nodes renamed at random."""
        n, k = self.n_nodes, self.k
        steps = np.arange(1, k // 2 + 1)
        offsets = np.concatenate([steps, -steps, [n // 2] if k % 2 else []]).astype(int)
        names = np.random.default_rng(seed).permutation(n)
        rows = names[(np.arange(n)[:, None] + offsets) % n]
        return MixingPlan([stage_of(rows[np.argsort(names)], own=True)])

    def edges(self, count: Edges = "directed") -> float:
        """As `Topology.edges`: nk, or half of it."""
        return self.n_nodes * self.k * (1 if count == "directed" else 0.5)

    def consensus_factor(self) -> float:
        """As `Topology.consensus_factor`."""
        return gossip_share(self.k, self.n_nodes)

    def mean_drift(self) -> float:
        """As `Topology.mean_drift`: 0."""
        return 0.0
