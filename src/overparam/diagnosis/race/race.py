"""Trainings at several rates against each other, for twice as long after each comparison."""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from overparam.diagnosis.race.bracket import Bracket
from overparam.diagnosis.race.entrant import Entrant
from overparam.diagnosis.race.outcome import (
    NEAR,
    Trial,
    began,
    best,
    flat,
    level_with,
    tolerated,
    within,
)
from overparam.diagnosis.race.recipe import Recipe

# Steps of the first comparison: at least so many, and less than twice as many.
_SHORTEST = 10
# A comparison is widened at most so often, each time by a rate beyond an end that won.
_WIDENED = 8
# A neighbour that is worse by this part of the loss after half of the training did not come to
# win on any of the tasks this was developed on.
_CLEARLY = 0.2
# Of rates next to lost ones so many are doubted.
_DOUBTED = 3
# Without a planned length a race ends with this many epochs, or steps where those are few, or
# when the best training has lost all but this part of its loss.
_EPOCHS, _STEPS, _DONE = 64, 2048, 1e-3


class OutOfTime(Exception):
    """The clock ended a comparison, which does not count."""


class Race:
    """A race that goes on, one doubling after the other.

    Attributes:
        spent: Steps of all trainings so far.
        brought: Those of them that were taken before it was restored.
        losses: Of the last comparison, by rate.
        history: Of every comparison, by its length.
        horizon: Steps of the last comparison.
        learned: Whether some rate lowered the loss.
        ceiling: The lowest rate whose training was lost.
    """

    def __init__(
        self,
        recipe: Recipe,
        found: Bracket,
        *,
        order: int = 0,
        in_time: Callable[[], bool] = lambda: True,
        learned: bool = False,
        widen: bool = True,
    ) -> None:
        """Nothing is trained yet.

        Args:
            recipe: Of the training.
            found: Where to begin.
            order: Seed of the order of batches.
            in_time: Asked between steps; once it says no, a comparison ends with `OutOfTime`.
            learned: Whether the rates to begin with are known to lower the loss.
            widen: Whether a comparison goes on beyond an end that wins.
        """
        self._recipe, self._order, self._in_time = recipe, order, in_time
        self._entrants: dict[float, Entrant] = {}
        self._trials: dict[float, Trial] = {}
        self._again: list[Trial] = []
        self._start = found.rates
        self.spent, self.brought, self.horizon = 0, 0, 0
        self.losses: dict[float, float] = {}
        self.history: dict[int, dict[float, float]] = {}
        self.learned = learned
        self._widened = _WIDENED if widen else 1
        self.ceiling = math.inf

    def cost(self, horizon: int) -> int:
        """Steps that the comparison at a horizon takes, if no end of it wins."""
        return sum(
            horizon - (0 if entrant is None or self._recipe.schedule else entrant.steps)
            for entrant in map(self._entrants.get, self._rates())
        )

    def compare(self, horizon: int, *, final: bool = False) -> None:
        """Train the rates in question for `horizon` steps and compare them.

        Args:
            horizon: Steps, from the start of each training.
            final: Whether no longer comparison follows. Then a neighbour that was clearly worse
                in the last one is not gone on with, as the lengths are nearly the same.

        Raises:
            OutOfTime: The clock ended it; the last comparison stands.
        """
        spacing = 2.0 if self.learned else 4.0
        rates = self._rates()
        worse = self._clearly_worse() if final else set()
        if self._recipe.schedule is not None:
            self._entrants.clear()  # theirs was laid out for another length
        kept = {rate: self._entrants[rate] for rate in rates if rate in self._entrants}
        rates = [rate for rate in rates if rate not in worse]
        self._entrants = kept
        losses: dict[float, float] = {}
        wanted = list(rates)
        for _ in range(self._widened):
            losses |= {rate: self._trained(rate, horizon) for rate in sorted(wanted)}
            beyond = [] if final and self._between(losses) else self._beyond(losses, spacing)
            # What was worse is wanted after all where everything else was lost.
            sound = math.isfinite(min(losses.values()))
            wanted = [rate for rate in beyond if not (sound and rate in worse)]
            if not wanted:
                break
        if final:
            self._doubt(losses, horizon)
        self.losses, self.horizon = dict(sorted(losses.items())), horizon
        self.history[horizon] = self.losses
        self.learned = self.learned or not flat(losses)

    def also(self, rate: float) -> dict[float, float]:
        """The loss at one more rate, as in the last comparison.

        It is trained even above a rate that was lost: what is said of it is to be seen.
        """
        ceiling, self.ceiling = self.ceiling, math.inf
        try:
            return {rate: self._trained(rate, self.horizon)}
        finally:
            self.ceiling = min(ceiling, self.ceiling)

    @property
    def first(self) -> float:
        """The loss before any step; `nan` before the first comparison."""
        return next((one.losses[0] for one in self._trials.values()), math.nan)

    def trials(self) -> tuple[Trial, ...]:
        """All trainings so far, by rate; those in another order of batches last."""
        return (*(self._trials[rate] for rate in sorted(self._trials)), *self._again)

    def state(self) -> dict[str, Any]:
        """All there is, as plain data and tensors; `restore` goes on from it."""
        return {
            "spent": self.spent, "horizon": self.horizon, "losses": self.losses,
            "history": self.history, "learned": self.learned, "ceiling": self.ceiling,
            "trials": [asdict(trial) for trial in self.trials()],
            "entrants": {rate: one.state() for rate, one in self._entrants.items()},
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state of a race of the same recipe and order."""
        self.spent = self.brought = state["spent"]
        self.horizon = state["horizon"]
        self.losses, self.history = dict(state["losses"]), dict(state["history"])
        self.learned, self.ceiling = state["learned"], state["ceiling"]
        kept = [
            Trial(**{**values, "losses": tuple(values["losses"])}) for values in state["trials"]
        ]
        self._trials = {trial.rate: trial for trial in kept if trial.order == self._order}
        self._again = [trial for trial in kept if trial.order != self._order]
        for rate, values in state["entrants"].items():
            entrant = Entrant(self._recipe, rate, order=self._order, horizon=self.horizon)
            entrant.restore(values)
            self._entrants[rate] = entrant

    def _rates(self) -> list[float]:
        """What the next comparison begins with."""
        if not self.losses:
            return list(self._start)
        if not self.learned:
            return [rate for rate in self.losses if rate < self.ceiling]
        centre = best(self.losses)
        return [r for r in (centre / 2, centre, 2 * centre) if r < self.ceiling]

    def _clearly_worse(self) -> set[float]:
        """Neighbours of the best that lost by more than what twice the steps change."""
        if not (self.learned and self.losses):
            return set()
        centre = best(self.losses)
        bound = self.losses[centre] + _CLEARLY * abs(self.losses[centre])
        return {r for r in (centre / 2, 2 * centre) if self.losses.get(r, -math.inf) > bound}

    def _between(self, losses: dict[float, float]) -> bool:
        """Whether two neighbours are so nearly level that the best lies between them."""
        winner = best(losses)
        near = within(losses, NEAR)
        return self.learned and any(rate in near for rate in (winner / 2, 2 * winner))

    def _beyond(self, losses: dict[float, float], spacing: float) -> list[float]:
        """The rate beyond the end that won, if one did; on a plateau only larger ones."""
        winner = best(losses)
        above, below = winner * spacing, winner / spacing
        dead = self.learned and losses[winner] >= self.first > 0
        if dead or not math.isfinite(losses[winner]):
            return [min(losses) / spacing]
        if winner == max(losses) and above < self.ceiling:
            return [above]
        next_above = min((rate for rate in losses if rate > winner), default=math.inf)
        level = next_above in losses and level_with(losses, next_above)
        if winner == min(losses) and (self.learned or not level):
            return [below]
        return []

    def _doubt(self, losses: dict[float, float], horizon: int) -> None:
        """Compare a winner that stands next to rates that were lost with the one below it.

        Where trainings begin to diverge differs between orders of batches by less than a factor 2,
        mostly, so that only the last rate before them is in doubt. The one below is picked where
        that costs no more than what another order changes. Where it costs more, the winner is
        trained in another order, and counts as lost if it is lost there.
        """
        for _ in range(_DOUBTED):
            winner = best(losses)
            if not math.isfinite(losses[winner]) or 2 * winner < self.ceiling:
                return
            below = winner / 2
            if below not in losses:
                losses[below] = self._trained(below, horizon)
            if losses[below] <= tolerated(losses[winner], began(self.trials())):
                return
            again = self._in_another_order(winner, horizon)
            self._again.append(again)
            if not again.lost:
                return
            losses[winner], self.ceiling = math.inf, winner

    def _in_another_order(self, rate: float, horizon: int) -> Trial:
        entrant = Entrant(self._recipe, rate, order=self._order + 1, horizon=horizon)
        self._train(entrant, horizon)
        return _trial(entrant, entrant.loss(horizon))

    def _trained(self, rate: float, horizon: int) -> float:
        if rate >= self.ceiling:
            return math.inf
        entrant = self._entrants.get(rate)
        if entrant is None:
            entrant = Entrant(self._recipe, rate, order=self._order, horizon=horizon)
            self._entrants[rate] = entrant
        self._train(entrant, horizon)
        loss = entrant.loss(horizon)
        if entrant.lost:
            self.ceiling = min(self.ceiling, rate)
        self._trials[rate] = _trial(entrant, loss)
        return loss

    def _train(self, entrant: Entrant, horizon: int) -> None:
        while entrant.steps < horizon and not entrant.lost:
            if not self._in_time():
                raise OutOfTime
            self.spent += entrant.advance(min(horizon, entrant.steps + 16))


def _trial(entrant: Entrant, loss: float) -> Trial:
    return Trial(
        entrant.rate, entrant.order, entrant.steps, loss, entrant.lost, tuple(entrant.losses)
    )


def horizons(planned: int | None, epoch: int, factor: int = 2) -> Iterator[int]:
    """Lengths of the comparisons: the planned one over powers of `factor`, up to itself.

    Example:
        >>> list(horizons(100, 10))
        [13, 25, 50, 100]
        >>> list(horizons(100, 10, factor=4))
        [25, 100]
    """
    if planned is None:
        most = max(_EPOCHS * epoch, _STEPS)
        lengths = (_SHORTEST * factor**k for k in itertools.count())
        yield from itertools.takewhile(lambda length: length <= most, lengths)
        return
    count = 0
    while math.ceil(planned / factor ** (count + 1)) >= _SHORTEST:
        count += 1
    yield from (math.ceil(planned / factor**k) for k in range(count, -1, -1))
