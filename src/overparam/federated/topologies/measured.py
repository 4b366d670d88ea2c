"""What a topology does on average, found by drawing rounds of it."""

from dataclasses import dataclass

import torch

from overparam._checked import checked
from overparam._types import Count, Natural
from overparam.federated.streams import generator_seed
from overparam.federated.topologies.topology import Topology


@dataclass(frozen=True)
class ConsensusEstimate:
    """Means over drawn rounds, each with the standard error of the mean.

    Attributes:
        factor: β.
        factor_error: Its standard error.
        drift: d.
        drift_error: Its standard error.
        error: τ = β + d.
        error_error: Its standard error.
    """

    factor: float
    factor_error: float
    drift: float
    drift_error: float
    error: float
    error_error: float


@checked
def measured_consensus(
    topology: Topology, *, draws: Count = 500, size: Count = 64, seed: Natural = 0
) -> ConsensusEstimate:
    """β, d and τ of a topology from random models, for any gossip.

    Args:
        topology: Anything that can be sampled.
        draws: Rounds, two at least to know an error.
        size: Numbers of each model, all normal; more of them average within a round.
        seed: Of models and rounds.

    Cost: `draws` rounds of mixing of n models of `size` numbers.

    Example:
        >>> from overparam.federated.topologies import EpidemicLocal
        >>> found = measured_consensus(EpidemicLocal(20, 4, gossip="push"), draws=200)
        >>> abs(found.error - EpidemicLocal(20, 4, gossip="push").consensus_error()) < 0.02
        True
    """
    draw = torch.Generator().manual_seed(generator_seed(seed, "mixing"))
    kept = []
    for number in range(draws):
        x = torch.randn(topology.n_nodes, size, generator=draw, dtype=torch.float64)
        mean = x.mean(0)
        spread = (x - mean).square().sum() / len(x)
        mixed, _ = topology.sample(generator_seed(seed, "mixing", number)).apply(x)
        after = mixed.mean(0)
        beta = (mixed - after).square().sum() / len(x) / spread
        kept.append((float(beta), float((after - mean).square().sum() / spread)))
    table = torch.tensor(kept, dtype=torch.float64)
    table = torch.cat([table, table.sum(1, keepdim=True)], dim=1)
    means, errors = table.mean(0), table.std(0, correction=min(1, draws - 1)) / draws**0.5
    pairs = torch.stack([means, errors], dim=1).reshape(-1).tolist()
    return ConsensusEstimate(*pairs)
