"""Hubs and spokes: those that train send to a few that only average and gossip among themselves."""

import numpy as np

from overparam._checked import checked
from overparam._errors import expect
from overparam._types import Count, Natural
from overparam.federated.topologies.epidemic import gossip_share, no_closed_form
from overparam.federated.topologies.mixing import MixingPlan, drawn_rows, others, stage_of
from overparam.federated.topologies.topology import Edges, Gossip, Topology


class HubSpoke(Topology):
    """Spokes that train, and hubs without data that average and gossip.

    A round of mixing has three stages, drawn anew:

    1. each hub averages the models of `spokes_per_hub` spokes;
    2. each averages its own with those of `hubs_per_hub` other hubs (or sends it to them: "push");
    3. each spoke takes the mean of `hubs_per_spoke` hubs *in the place of* its own model.

    With n_s spokes, n_h hubs and these numbers b_hs, b_hh, b_sh, for pull:

        β_hs = (1 − 1/n_h)(n_s − b_hs)/(b_hs(n_s − 1)),   β_sh likewise with n_s, n_h exchanged
        α    = (1 − b_hh/(n_h − 1))/(b_hh + 1),           β_hh = α − α(1−α)/n_h
        β    = β_hs β_hh β_sh
        d    = (n_s − b_hs)/(b_hs(n_s − 1)n_h) + β_hs α(1−α)/n_h
               + β_hs β_hh (n_h − b_sh)/(b_sh(n_h − 1)n_s)

    Args:
        n_spokes: n_s.
        n_hubs: n_h; with one there is no gossip.
        spokes_per_hub: b_hs, from 1 to n_s.
        hubs_per_hub: b_hh, from 0 to n_h − 1.
        hubs_per_spoke: b_sh, from 1 to n_h.
        gossip: Whether hubs draw whom they hear or to whom they send.

    Source: Sharma et al. (2025), arXiv:2504.20988; the closed forms are ours, checked by
    simulation.

    Example:
        >>> net = HubSpoke(100, 20, spokes_per_hub=10, hubs_per_hub=5, hubs_per_spoke=1)
        >>> net.edges(), round(net.consensus_factor(), 5), round(net.consensus_error(), 4)
        (400, 0.01004, 0.0152)
    """

    @checked
    def __init__(
        self, n_spokes: Count, n_hubs: Count, spokes_per_hub: Count, hubs_per_hub: Natural,
        hubs_per_spoke: Count, gossip: Gossip = "pull",
    ) -> None:  # fmt: skip
        for name, value, least, most in (
            ("spokes_per_hub", spokes_per_hub, 1, n_spokes),
            ("hubs_per_hub", hubs_per_hub, 0, n_hubs - 1),
            ("hubs_per_spoke", hubs_per_spoke, 1, n_hubs),
        ):
            words = f"an integer from {least} to {most}"
            expect(least <= value <= most, f"HubSpoke({name}=...)", words, value,
                   "nothing is drawn twice.")  # fmt: skip
        self.n_nodes, self.n_hubs, self.gossip = n_spokes, n_hubs, gossip
        self.spokes_per_hub, self.hubs_per_hub = spokes_per_hub, hubs_per_hub
        self.hubs_per_spoke = hubs_per_spoke

    def __repr__(self) -> str:
        numbers = (self.n_nodes, self.n_hubs, self.spokes_per_hub, self.hubs_per_hub)
        words = ", ".join(map(str, (*numbers, self.hubs_per_spoke)))
        return f"HubSpoke({words}, gossip={self.gossip!r})"

    @checked
    def sample(self, seed: Natural) -> MixingPlan:
        """As `Topology.sample`."""
        draw = np.random.default_rng(seed)
        spokes, hubs = self.n_nodes, self.n_hubs
        up = stage_of(drawn_rows(draw, hubs, spokes, self.spokes_per_hub))
        among = others(drawn_rows(draw, hubs, hubs - 1, self.hubs_per_hub))
        gossip = stage_of(among, own=True, push=self.gossip == "push")
        down = stage_of(drawn_rows(draw, spokes, hubs, self.hubs_per_spoke))
        return MixingPlan([up, gossip, down])

    def edges(self, count: Edges = "directed") -> float:
        """As `Topology.edges`: n_h b_hs + n_h b_hh + n_s b_sh, "mixed" with half the gossip."""
        gossip = self.n_hubs * self.hubs_per_hub * (1 if count == "directed" else 0.5)
        return self.n_hubs * self.spokes_per_hub + gossip + self.n_nodes * self.hubs_per_spoke

    def hub_load(self) -> float:
        """Models that a hub sends in a round, on average: n_s b_sh/n_h + b_hh."""
        return self.n_nodes * self.hubs_per_spoke / self.n_hubs + self.hubs_per_hub

    def consensus_factor(self) -> float:
        """As `Topology.consensus_factor`, of pull."""
        return self._forms("consensus_factor")[0]

    def mean_drift(self) -> float:
        """As `Topology.mean_drift`, of pull."""
        return self._forms("mean_drift")[1]

    def _forms(self, name: str) -> tuple[float, float]:
        random = self.gossip == "push" and 0 < self.hubs_per_hub < self.n_hubs - 1
        if random:
            raise no_closed_form(f"HubSpoke.{name}()")
        beta, drift = closed_forms(
            self.n_nodes, self.n_hubs, self.spokes_per_hub, self.hubs_per_hub, self.hubs_per_spoke
        )
        return float(beta), float(drift)


def closed_forms(n_s: int, n_h: int, b_hs, b_hh, b_sh):  # type: ignore[no-untyped-def]
    """β and d of pull, of numbers or of arrays of them."""
    up = left_of_means(b_hs, n_s)
    alpha = gossip_share(b_hh, n_h)
    down = left_of_means(b_sh, n_h)
    beta_up, beta_down = (1 - 1 / n_h) * up, (1 - 1 / n_s) * down
    noise = alpha * (1 - alpha) / n_h
    beta_gossip = alpha - noise
    drift = up / n_h + beta_up * noise + beta_up * beta_gossip * down / n_s
    return beta_up * beta_gossip * beta_down, drift


def left_of_means(b, n: int):  # type: ignore[no-untyped-def]
    """Variance of a mean of b out of n, in units of that of one: (n − b)/(b(n − 1))."""
    return b * 0.0 if n == 1 else (n - b) / (b * (n - 1))
