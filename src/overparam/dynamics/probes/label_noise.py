"""Label-noise scores from the logits that training passes by."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from overparam._errors import expect
from overparam.dynamics.budget import OverheadBudget
from overparam.dynamics.label_noise import LabelNoiseScorer
from overparam.dynamics.pace import steady_mean

# Batches are scored in blocks of about this many logits, which costs less per batch.
_BLOCK = 1 << 16
# The first blocks are short, to learn what a batch costs once everything is warm.
_SHORT, _TRIALS = 4, 3


class LabelStream:
    """Collect logits with their ids and score them in blocks, within half of the budget.

    Args:
        scorer: Where the scores go.
        budget: The account of time.

    Attributes:
        cost: Seconds to score a batch, as last measured; 0 before.
        taking: Seconds to keep one until then; `nan` before.
        seen: Batches taken.
    """

    def __init__(self, scorer: LabelNoiseScorer, budget: OverheadBudget) -> None:
        self.scorer, self.budget = scorer, budget
        self.cost = self.spent = 0.0
        self.taking = math.nan
        # Until the first fit: about what it takes, in seconds.
        self.fit_cost = 5e-3 + 2e-6 * scorer.n_samples
        self.seen = 0
        self._pending: list[tuple[Tensor, Tensor, Tensor]] = []
        self._size = self._blocks = self._unclocked = 0

    @property
    def credit(self) -> float:
        """Seconds it may still use: half of what keeping the books leaves of the budget."""
        budget = self.budget
        if math.isinf(budget.max_overhead):
            return math.inf
        books = budget.own - budget.booked - self.spent
        return (budget.max_overhead * budget.training - books) / 2 - self.spent

    def quota(self, steps: int) -> int:
        """How many of the next `steps` batches may be taken."""
        credit = self.credit
        if credit < 0:
            return 0
        covered = credit / (self.cost + self.taking) if self.cost else float(_SHORT)
        return int(min(covered + 1, steps))

    def has_room(self, logits: Any, batch: Any, ids: Any) -> bool:
        """Whether `keep` can take a batch: a few plain tensors more, and no block is full."""
        return (
            (self._blocks >= _TRIALS or len(self._pending) < _SHORT - 1)
            and isinstance(logits, Tensor)
            and isinstance(ids, Tensor)
            and isinstance(batch, (tuple, list))
            and len(batch) == 2
            and isinstance(batch[1], Tensor)
            and logits.shape[:1] == batch[1].shape[:1] == ids.shape
            and self._size + logits.numel() < _BLOCK
            and self.taking >= 0  # not before one was clocked
        )

    def keep(self, logits: Any, batch: Any, ids: Any) -> None:
        """Keep a batch for which there is room, without a look at the clock."""
        self._keep(logits, batch[1], ids)
        self._unclocked += 1

    def unclocked(self) -> float:
        """Seconds that batches took which were kept since the last call, without a clock."""
        batches, self._unclocked = self._unclocked, 0
        return batches * self.taking if batches else 0.0

    def take(
        self,
        logits: Tensor,
        labels: Tensor | Sequence[int] | None,
        ids: Tensor | Sequence[int] | None,
    ) -> None:
        """Keep a batch; score the block when it is full."""
        expect(
            labels is not None and ids is not None,
            "Monitor.step(logits=...)",
            "the batch and its ids beside the logits",
            "none",
        )
        start = self.budget.clock()
        labels, ids = torch.as_tensor(labels), torch.as_tensor(ids)
        expect(
            logits.shape[:1] == labels.shape[:1] == ids.shape, "Monitor.step(logits=..., ids=...)",
            "as many rows of logits as targets and ids",
            f"{tuple(logits.shape)}, {tuple(labels.shape)} and {tuple(ids.shape)}",
        )  # fmt: skip
        self._keep(logits, labels, ids)
        self.taking = steady_mean(self.taking, self.budget.clock() - start)
        short = self._blocks < _TRIALS and len(self._pending) >= _SHORT
        if short or self._size >= _BLOCK:
            self.flush()

    def _keep(self, logits: Tensor, labels: Tensor, ids: Tensor) -> None:
        # A copy: compiled models may write the next batch's logits into the same memory.
        logits = logits.detach().clone()
        self._pending.append((logits, labels, ids))
        self.seen += 1
        self.spent += self.cost + (self.taking if self.taking >= 0 else 0.0)
        self._size += logits.numel()

    def flush(self) -> None:
        """Score what is pending, without the rows that are not finite."""
        if not self._pending:
            return
        pending, self._pending, self._size = self._pending, [], 0
        start = self.budget.clock()
        logits = torch.cat([batch[0] for batch in pending])
        labels = torch.cat([batch[1].to(logits.device) for batch in pending])
        ids = torch.cat([batch[2].to(logits.device) for batch in pending])
        finite = torch.isfinite(logits.sum(tuple(range(1, logits.ndim))))
        self.scorer.update(logits[finite], labels[finite], ids[finite])
        cost = (self.budget.clock() - start) / len(pending)
        # What was spent on the first block was not foreseen.
        self.spent += 0.0 if self._blocks else cost * len(pending)
        self.cost = min(cost, self.cost) if self._blocks in (1, 2) else cost
        self._blocks += 1

    @property
    def covered(self) -> bool:
        """Whether there is something to find suspects in, and the credit covers that."""
        return self.seen > 0 and self.credit >= self.fit_cost

    def end_epoch(self) -> dict[str, float]:
        """The stop signal's numbers, if the credit covers finding the suspects.

        If not, this epoch counts towards the next signal.
        """
        if not self.covered:
            return {}
        self.flush()
        start = self.budget.clock()
        signal = self.scorer.end_epoch()
        self.fit_cost = self.budget.clock() - start
        self.spent += self.fit_cost
        return {
            "noise_rate": signal.noise_rate,
            "suspect_loss": signal.suspect_loss,
            "armed": float(signal.armed),
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything `load_state_dict` needs."""
        self.flush()
        names = ("cost", "spent", "fit_cost", "seen", "taking", "_blocks")
        return {
            "scorer": self.scorer.state_dict(),
            **{name: getattr(self, name) for name in names},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        state = dict(state)
        self.scorer.load_state_dict(state.pop("scorer"))
        for name, value in state.items():
            setattr(self, name, value)
        self._pending, self._size = [], 0
