"""What a topology is: draws of mixing rounds, their edges, and what they do on average."""

from abc import ABC, abstractmethod
from typing import Literal, TypeAlias

import numpy as np

from overparam._checked import checked
from overparam._types import Count
from overparam.federated.topologies.mixing import MixingPlan, stage_of

Edges: TypeAlias = Literal["directed", "mixed"]
Gossip: TypeAlias = Literal["pull", "push"]


class Topology(ABC):
    """Random mixing of the models of `n_nodes` nodes."""

    n_nodes: int
    n_hubs: int = 0

    @abstractmethod
    def sample(self, seed: int) -> MixingPlan:
        """A round of mixing.

        Args:
            seed: Of its draws: everyone who knows it knows the plan.
        """

    @abstractmethod
    def edges(self, count: Edges = "directed") -> float:
        """Models sent in a round.

        Args:
            count: "directed" counts every message; "mixed" counts an exchange between two nodes
                of one kind once, which halves gossip.
        """

    @abstractmethod
    def consensus_factor(self) -> float:
        """β: what a round leaves of the mean squared distance from the mean, on average."""

    @abstractmethod
    def mean_drift(self) -> float:
        """d: how far a round moves the mean, squared, in units of that distance, on average."""

    def consensus_error(self) -> float:
        """τ = β + d: mean squared distance after a round from the mean before it."""
        return self.consensus_factor() + self.mean_drift()


class Star(Topology):
    """A server that averages all and sends the result to all: β = d = 0.

    Args:
        n: Nodes.

    Example:
        >>> Star(100).edges(), Star(100).consensus_error()
        (200, 0.0)
    """

    @checked
    def __init__(self, n: Count) -> None:
        self.n_nodes, self.n_hubs = n, 1

    def __repr__(self) -> str:
        return f"Star({self.n_nodes})"

    def sample(self, seed: int) -> MixingPlan:
        """Always the same one."""
        everyone = np.arange(self.n_nodes)[None]
        return MixingPlan([stage_of(everyone), stage_of(np.zeros((self.n_nodes, 1), dtype=int))])

    def edges(self, count: Edges = "directed") -> float:
        """As `Topology.edges`: up and down."""
        return 2 * self.n_nodes

    def consensus_factor(self) -> float:
        """As `Topology.consensus_factor`."""
        return 0.0

    def mean_drift(self) -> float:
        """As `Topology.mean_drift`."""
        return 0.0
