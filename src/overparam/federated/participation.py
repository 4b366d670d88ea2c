"""Who takes part in a round, who is slow and who is lost."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from overparam._checked import checked
from overparam._types import Range, Share
from overparam.federated.streams import uniform

Some = Annotated[float, Range("a number in (0, 1]", lambda v: 0 < v <= 1)]


@checked
@dataclass(frozen=True, kw_only=True)
class Participation:
    """How many clients a round asks, and what becomes of them.

    Args:
        share: Of all clients, drawn uniformly without replacement in each round; at least one.
        dropouts: Probability that a client is asked, works, and never answers. What it computed
            is lost: its own state is that of before.
        stragglers: Probability that a client is slow in a round.
        straggler_steps: Share of its local steps that a slow one does, at least one. It sends
            what it has.

    Example:
        >>> Participation(share=0.5).drawn(0, 0, np.full(4, 10))[0].tolist()
        [0, 2]
    """

    share: Some = 1.0
    dropouts: Share = 0.0
    stragglers: Share = 0.0
    straggler_steps: Some = 0.5

    def drawn(
        self, seed: int, round: int, local_steps: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Clients (s,) in ascending order, their steps, and whether each answers.

        Args:
            seed: Of the run; the draw depends on it and on the round alone.
            round: From 0.
            local_steps: (N,) steps of each client that is not slow.
        """
        everyone = np.arange(len(local_steps))
        count = max(1, round_half_up(self.share * len(local_steps)))
        order = np.argsort(uniform(seed, "clients", round, everyone), kind="stable")
        chosen = np.sort(order[:count])
        slow = uniform(seed, "stragglers", round, chosen) < self.stragglers
        fewer = np.ceil(self.straggler_steps * local_steps[chosen]).astype(int)
        steps = np.where(slow, fewer, local_steps[chosen])
        answers = uniform(seed, "drop-outs", round, chosen) >= self.dropouts
        return chosen, steps, answers


def round_half_up(value: float) -> int:
    """To the nearest whole number."""
    return int(np.floor(value + 0.5))
