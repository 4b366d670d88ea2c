"""How many hubs, and who hears whom, for a number of edges or for a consensus."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from overparam._checked import checked
from overparam._errors import expect
from overparam._types import Count, Positive
from overparam.federated.topologies.hub_spoke import HubSpoke, closed_forms


@dataclass(frozen=True)
class TopologyPlan:
    """A topology and what is expected of it.

    Attributes:
        topology: Hubs and degrees.
        edges: Models sent in a round, every message counted.
        factor: β.
        drift: d.
        error: τ = β + d.
        hub_load: Models that a hub sends in a round, on average.
    """

    topology: HubSpoke
    edges: int
    factor: float
    drift: float
    error: float
    hub_load: float


@checked
def plan_topology(
    n_spokes: Count,
    *,
    edges: Count | None = None,
    consensus: Positive | None = None,
    objective: Literal["error", "factor"] = "error",
    n_hubs: Count | None = None,
    max_hub_load: float = math.nan,
) -> TopologyPlan:
    """The hubs-and-spokes topology with the best consensus for its edges, or the fewest edges.

    All topologies within the bounds are compared by their closed forms. A single hub that hears
    everyone is best of all, and a server: what keeps it away is the bound on a hub's load.

    Args:
        n_spokes: Nodes that train, two at least.
        edges: Most models that may be sent in a round; or else
        consensus: Most that a round may leave, of what `objective` names.
        objective: What is made small: "error" is τ; "factor" is β, which is 0 for spokes that
            agree on a noisy mean.
        n_hubs: So many; by default as many as is best, n_spokes at most.
        max_hub_load: Most models that a hub sends in a round, n_spokes hubs_per_spoke/n_hubs +
            hubs_per_hub. By default 2√n_spokes; `math.inf` is no bound.

    Returns:
        Of the best the one with fewer edges, then with the lower load.

    Raises:
        ValueError: Unless exactly one of `edges` and `consensus` is given, and if no topology
            keeps the bounds.

    Cost: one evaluation for each topology within the bounds: a second for 100 spokes and 1000
    edges.

    Example:
        >>> plan = plan_topology(100, edges=400, n_hubs=10)
        >>> plan.topology, plan.edges, round(plan.error, 4)
        (HubSpoke(100, 10, 21, 9, 1, gossip='pull'), 400, 0.0038)
    """
    given = (edges is not None) + (consensus is not None)
    expect(given == 1, "plan_topology(edges=..., consensus=...)", "one of the two", f"{given}")
    expect(n_spokes >= 2, "plan_topology(n_spokes=...)", "an integer ≥ 2", n_spokes)
    load = 2 * math.sqrt(n_spokes) if math.isnan(max_hub_load) else max_hub_load
    expect(load >= 1, "plan_topology(max_hub_load=...)", "a number ≥ 1", max_hub_load)
    most = n_spokes if n_hubs is None else n_hubs
    hubs = range(1, most + 1) if n_hubs is None else (n_hubs,)
    found = [
        best
        for n in hubs
        if (best := _best(n_spokes, n, edges, consensus, objective, load)) is not None
    ]
    hint = "allow more edges, a weaker consensus or a higher load of the hubs."
    expect(found, "plan_topology(...)", "bounds that some topology keeps", "none that does", hint)
    topology = HubSpoke(n_spokes, *min(found)[-1])
    return TopologyPlan(
        topology, int(topology.edges()), topology.consensus_factor(), topology.mean_drift(),
        topology.consensus_error(), topology.hub_load(),
    )  # fmt: skip


def _best(
    n_s: int, n_h: int, edges: int | None, consensus: float | None, objective: str, load: float
) -> tuple[float, float, float, tuple[int, int, int, int]] | None:
    """With n_h hubs: what to compare by, then edges or error, load, and the degrees."""
    b_hs, b_hh, b_sh = (
        grid.reshape(-1)
        for grid in np.meshgrid(
            np.arange(1, (n_s if edges is None else min(n_s, edges // n_h)) + 1),
            np.arange(min(n_h - 1, load) + 1),
            np.arange(1, min(n_h, load * n_h / n_s) + 1),
            indexing="ij",
        )
    )
    sent, carried = n_h * (b_hs + b_hh) + n_s * b_sh, n_s * b_sh / n_h + b_hh
    kept = carried <= load
    if edges is not None:
        kept &= sent <= edges
    if not kept.any():
        return None
    b_hs, b_hh, b_sh, sent, carried = (v[kept] for v in (b_hs, b_hh, b_sh, sent, carried))
    beta, drift = closed_forms(n_s, n_h, b_hs, b_hh, b_sh)
    error = beta + drift if objective == "error" else beta
    if consensus is not None:
        good = error <= consensus
        if not good.any():
            return None
        b_hs, b_hh, b_sh, sent, carried, error = (
            v[good] for v in (b_hs, b_hh, b_sh, sent, carried, error)
        )
        at = np.lexsort((carried, error, sent))[0]
        first, second = sent[at], error[at]
    else:
        at = np.lexsort((carried, sent, error))[0]
        first, second = error[at], sent[at]
    degrees = (n_h, int(b_hs[at]), int(b_hh[at]), int(b_sh[at]))
    return float(first), float(second), float(carried[at]), degrees
