"""Finished trials as transitions of a decision process: states, actions, rewards."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class History:
    """Trials in their order, as an agent replays them.

    Attributes:
        actions: A row a trial, in [-1, 1].
        rewards: Its rank among all trials, spread evenly over (-1, 1): ranks do not know the
            metric's scale, and a run that diverged is only the worst.
        states: What was known before each trial, and in one row more what is known now: the best
            action so far, the reward of the last trial, the share of the budget that is used.
        ends: Whether an episode ends with the trial.
    """

    actions: np.ndarray
    rewards: np.ndarray
    states: np.ndarray
    ends: np.ndarray


def history_of(
    actions: np.ndarray, scores: np.ndarray, budget: int, episode_length: int
) -> History:
    """The history of trials whose scores are known; nothing of it depends on their scale.

    Args:
        actions: (n, D), in the order of the trials.
        scores: (n,), larger is better; NaN is worse than any number.
        budget: Trials after which the share that is used stays 1.
        episode_length: Trials of an episode.
    """
    n, dimension = actions.shape
    scores = np.where(np.isnan(scores), -np.inf, scores)
    states = np.zeros((n + 1, dimension + 2))
    states[:, -1] = np.minimum(np.arange(n + 1) / budget, 1.0)
    rewards = ranks(scores)
    if n:
        leads = rewards >= np.maximum.accumulate(rewards)
        best = np.maximum.accumulate(np.where(leads, np.arange(n), 0))
        states[1:, :dimension] = actions[best]
        states[1:, dimension] = rewards
    ends = np.arange(1, n + 1) % episode_length == 0
    return History(actions, rewards, states, ends)


def ranks(scores: np.ndarray) -> np.ndarray:
    """Ranks spread evenly over (-1, 1), those of equal scores their mean.

    Example:
        >>> ranks(np.array([3.0, 1e9, 3.0, -np.inf])).tolist()
        [0.0, 0.75, 0.0, -0.75]
    """
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    middle = last - (counts - 1) / 2 - 0.5  # of the ranks from 1 that equal scores share
    return 2 * middle[place] / max(len(scores), 1) - 1
