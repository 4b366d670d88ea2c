"""One round of mixing, drawn: who averages what, as lists of indices and never as a matrix."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from overparam._checked import checked
from overparam._errors import expect

# Random numbers that are held at once where rows are drawn.
_NUMBERS = 2**20


@dataclass(frozen=True)
class MixingStage:
    """Averages of rows: each receiver's is over all that its pairs name.

    Attributes:
        receivers: (e,) who averages.
        senders: (e,) what; a pair of a node with itself is its own model.
        n_receivers: How many there are.
    """

    receivers: np.ndarray
    senders: np.ndarray
    n_receivers: int

    def apply(self, sent: Tensor, alive: Tensor, receiving: Tensor) -> tuple[Tensor, Tensor]:
        """The averages (n_receivers, P), and which receivers heard of anybody.

        Args:
            sent: (n_senders, P) models, finite.
            alive: (n_senders,) which of them are sent at all.
            receiving: (n_receivers,) which receivers listen.
        """
        receivers = torch.from_numpy(self.receivers).to(sent.device)
        senders = torch.from_numpy(self.senders).to(sent.device)
        kept = alive[senders] & receiving[receivers]
        receivers, senders = receivers[kept], senders[kept]
        counts = torch.bincount(receivers, minlength=self.n_receivers)
        weights = torch.sparse_coo_tensor(
            torch.stack([receivers, senders]),
            (1 / counts[receivers]).to(sent.dtype),
            (self.n_receivers, len(sent)),
            check_invariants=False,  # unsaid, torch warns
        )
        return torch.sparse.mm(weights, sent), counts > 0


@dataclass(frozen=True)
class MixingPlan:
    """The stages of one round, as a topology drew them.

    Attributes:
        stages: One after another. The first takes the nodes' models; those in between belong to
            hubs, which stand still between rounds; the last gives the nodes' models back.
    """

    stages: Sequence[MixingStage]

    @checked(result="anything")
    def apply(
        self,
        models: Tensor,
        hubs: Tensor | None = None,
        alive: Tensor | None = None,
        hubs_alive: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """The models after the round, and the hubs'.

        A node that is not alive, or whose numbers are not finite, sends nothing and keeps its
        model. A hub that hears of nobody keeps what it had; if that is nothing it sends nothing.

        Args:
            models: (n, P) one row a node.
            hubs: (n_hubs, P) what the hubs had; `None` before their first round.
            alive: (n,) which nodes are; `None` is all.
            hubs_alive: (n_hubs,) which hubs are; `None` is all.

        Returns:
            (n, P), and (n_hubs, P), NaN for a hub that has nothing yet, or `None` where there are
            no hubs.

        Cost: P additions for each pair of each stage.
        """
        n = self.stages[-1].n_receivers
        expect(
            models.ndim == 2 and len(models) == n and models.is_floating_point(),
            "MixingPlan.apply(models=...)", f"a matrix with {n} rows of floating-point numbers",
            f"the shape {tuple(models.shape)} and {models.dtype}",
        )  # fmt: skip
        low = models.dtype in (torch.float16, torch.bfloat16)
        exact = models.float() if low else models
        able = torch.isfinite(models).all(1)
        if alive is not None:
            expect(alive.shape == (n,), "MixingPlan.apply(alive=...)", f"{n} truth values",
                   tuple(alive.shape))  # fmt: skip
            able &= alive.bool()
        at = torch.where(able[:, None], exact, 0)  # what is not finite stays where it is
        if len(self.stages) == 1:
            mixed, _ = self.stages[0].apply(at, able, able)
            return torch.where(able[:, None], mixed.to(models.dtype), models), None
        n_hubs = self.stages[0].n_receivers
        up = torch.ones(n_hubs, dtype=torch.bool, device=models.device)
        if hubs_alive is not None:
            expect(hubs_alive.shape == up.shape, "MixingPlan.apply(hubs_alive=...)",
                   f"{n_hubs} truth values", tuple(hubs_alive.shape))  # fmt: skip
            up &= hubs_alive.bool()
        had = torch.full((n_hubs, models.shape[1]), torch.nan).to(exact) if hubs is None else hubs
        state, heard = self.stages[0].apply(at, able, up)
        state = torch.where(heard[:, None], state, had)
        able_hubs = up & torch.isfinite(state).all(1)
        for stage in self.stages[1:-1]:
            mixed, heard = stage.apply(
                torch.where(able_hubs[:, None], state, 0), able_hubs, able_hubs
            )
            state = torch.where(heard[:, None], mixed, state)
        sent = torch.where(able_hubs[:, None], state, 0)
        mixed, heard = self.stages[-1].apply(sent, able_hubs, able)
        return torch.where(heard[:, None], mixed.to(models.dtype), models), state


def drawn_rows(draw: np.random.Generator, n: int, among: int, count: int) -> np.ndarray:
    """For each of n, `count` different ones of `among`, uniformly: (n, count)."""
    if count == among:
        return np.tile(np.arange(among), (n, 1))
    block = max(1, _NUMBERS // among)  # never n × among at once
    parts = [
        np.argpartition(draw.random((min(block, n - at), among)), count, axis=1)[:, :count]
        for at in range(0, n, block)
    ]
    return np.concatenate(parts)


def others(drawn: np.ndarray) -> np.ndarray:
    """Choices out of n − 1 as choices out of n without the row's own number."""
    return drawn + (drawn >= np.arange(len(drawn))[:, None])


def stage_of(rows: np.ndarray, *, own: bool = False, push: bool = False) -> MixingStage:
    """A stage in which row i averages what it drew, or sends to what it drew.

    Args:
        rows: (n, k) what each drew.
        own: Whether each counts itself too.
        push: Whether the drawn ones receive.
    """
    n, k = rows.shape
    drawers, drawn = np.repeat(np.arange(n), k), rows.reshape(-1)
    receivers, senders = (drawn, drawers) if push else (drawers, drawn)
    if own:
        receivers, senders = (np.concatenate([i, np.arange(n)]) for i in (receivers, senders))
    return MixingStage(receivers, senders, n)
