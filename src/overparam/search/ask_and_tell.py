"""The search by itself: it is asked for a point, and told what came of it."""

import numpy as np

from overparam._checked import checked
from overparam._errors import expect
from overparam._numbers import described, is_number
from overparam._types import Count, Natural
from overparam.search.actor_critic import ActorCritic
from overparam.search.history import history_of
from overparam.search.settings import SACSettings, Width

# Trials made up for at once by who comes late to a history: another process, a resumed study.
CATCH_UP = 20


class SACSearch:
    """Search in the cube [-1, 1]^D by soft actor-critic; larger scores are better.

    One action is one configuration, the reward the rank of its score among all: nothing but the
    order of the scores counts. The first points are uniform.

    Args:
        dimension: D.
        n_startup: Uniform points before the agent proposes any.
        budget: Points in all, as far as that is known; the agent sees which share is used.
        seed: Of everything random; None draws one.
        settings: Of the agent.

    Cost:
        `settings.updates` steps of small networks a point: 50 to 130 ms,
        by how busy the machine is (`bench_search.py`).

    Example:
        >>> search = SACSearch(2, n_startup=5, seed=0)
        >>> for _ in range(8):
        ...     point = search.ask()
        ...     search.tell(point, -float(np.square(point - 0.5).sum()))
        >>> search.ask().shape, len(search.scores)
        ((2,), 8)

    References:
        Liu, Zhang (2021), arXiv:2112.04084. Haarnoja et al. (2018), arXiv:1812.05905. Wang, Kang,
        Shao, Feng (2020), arXiv:2010.10814.
    """

    @checked
    def __init__(
        self,
        dimension: Width,
        *,
        n_startup: Natural = 10,
        budget: Count = 100,
        seed: Natural | None = None,
        settings: SACSettings = SACSettings(),  # noqa: B008  # it is frozen
    ) -> None:
        self.dimension, self.n_startup, self.budget = int(dimension), int(n_startup), int(budget)
        self.settings, self.draw = settings, np.random.default_rng(seed)
        self.points: list[np.ndarray] = []
        self.scores: list[float] = []
        self._agent: ActorCritic | None = None
        self._learned = 0

    def ask(self) -> np.ndarray:
        """The next point (D,). Points may be told in any order, and others than were asked for."""
        if len(self.points) < self.n_startup:
            return self.draw.uniform(-1, 1, self.dimension)
        points = np.array(self.points).reshape(-1, self.dimension)
        return self.follow(points, np.array(self.scores, dtype=float))

    @checked(result="anything")
    def tell(self, point: np.ndarray, score: float) -> None:
        """What came of a point; NaN is worse than any number."""
        where, point = "SACSearch.tell", np.asarray(point, dtype=float)
        fits = point.shape == (self.dimension,) and bool((np.abs(point) <= 1).all())
        words = f"{self.dimension} numbers in [-1, 1]"
        expect(fits, f"{where}(point=...)", words, described(point))
        expect(is_number(score), f"{where}(score=...)", "a number", described(score), "", TypeError)
        self.points.append(point.copy())
        self.scores.append(float(score))

    def follow(self, points: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """The next point after a history, (n, D) and (n,), of which it may have seen a part."""
        if self._agent is None:
            self._agent = ActorCritic(self.dimension, self.settings, self.draw)
        history = history_of(points, scores, self.budget, self.settings.episode_length)
        new = min(len(history.rewards) - self._learned, CATCH_UP)
        if new > 0:
            self._agent.learn(history, new * self.settings.updates)
            self._learned = len(history.rewards)
        return self._agent.act(history.states[-1])
