"""Which trials are replayed, and how they are mixed: the regularisation of the critics."""

from dataclasses import dataclass

import numpy as np

from overparam.search.settings import SACSettings


@dataclass(frozen=True)
class Batches:
    """Batches for several steps, (steps, batch_size) each.

    Attributes:
        trials: By their number in the history.
        partners: With which member of its batch each is mixed, by its place.
        shares: λ, the share of the trial itself.
    """

    trials: np.ndarray
    partners: np.ndarray
    shares: np.ndarray


def draw_batches(
    rewards: np.ndarray, steps: int, settings: SACSettings, draw: np.random.Generator
) -> Batches:
    """Batches as a regularisation wants them.

    Args:
        rewards: Of all trials, at least one; only their order counts.
        steps: How many batches.
        settings: Names the regularisation, and says how large a batch is.
        draw: What they are drawn from.
    """
    n, shape = len(rewards), (steps, settings.batch_size)
    places = np.tile(np.arange(settings.batch_size), (steps, 1))
    if settings.regularisation == "none":
        return Batches(draw.integers(n, size=shape), places, np.ones(shape))
    if settings.regularisation == "mixture":
        trials, partners = draw.integers(n, size=shape), draw.permuted(places, axis=1)
    else:
        level = levels(rewards, settings.n_levels)
        odds = np.exp2(level - level.max())
        trials = draw.choice(n, size=shape, p=odds / odds.sum())
        partners = np.stack([upward(level[batch], draw) for batch in trials])
    return Batches(trials, partners, draw.beta(*(settings.mixture_beta,) * 2, size=shape))


def levels(rewards: np.ndarray, n_levels: int) -> np.ndarray:
    """The level of each trial, 0 the worst, by the share of trials that it surpasses.

    Example:
        >>> levels(np.array([0.1, -0.9, 0.6, -0.2]), 2).tolist()
        [1.0, 0.0, 1.0, 0.0]
    """
    n = len(rewards)
    place = np.empty(n)
    place[np.argsort(rewards, kind="stable")] = np.arange(n)
    return np.floor(n_levels * place / n)


def upward(level: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """For each member of a batch the place of one of the same level or of a higher one."""
    order = np.argsort(-level, kind="stable")
    eligible = np.searchsorted(-level[order], -level, side="right")  # the first so many of them
    return order[(draw.random(len(level)) * eligible).astype(int)]
