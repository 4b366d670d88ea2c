"""What a race came to, as plain data."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

# A rate is as good as another within this part of the loss.
LEVEL = 0.02
# Rates within this part of the best loss belong to the interval.
NEAR = 0.05
# What the interval is widened by on either side: the spacing of the rates, which is also what
# another order of batches changes; of trainings shorter than half of the one planned, twice that.
_WIDER, _WIDEST = 2.0, 4.0
# It ends short of a rate that was seen to fail, by this factor.
SHORT_OF = 0.9
# The bottom is flat where the highest rate in it is so many times the lowest.
_WIDE = 4.0
# The loss must fall by this part of itself below that of the smallest rate.
LEARNED = 0.02
# A loss below this is none: what is left of it is rounding.
NOTHING_LEFT = 1e-9
FEW_STEPS = 100
"""Trainings shorter than this tell an order of magnitude."""
# A loss of so many times the best is no other order's doing, unless little is left of the first.
_FAR, _GONE = 10.0, 1e-2
# Another order of batches changes a loss by up to such a factor, or the second one where less than
# a tenth of the loss before training is left.
_OTHER, _FITTED, _LITTLE = 1.2, 2.0, 0.1
# First steps of the smallest rate, whose mean loss is that before training.
_FIRST = 10


@dataclass(frozen=True)
class Trial:
    """A training at one rate.

    Attributes:
        rate: The learning rate.
        order: Seed of the order of batches.
        steps: Optimizer steps taken.
        loss: What it was judged by at the last comparison it was in; infinite if it was lost.
        lost: Whether its loss left all bounds.
        losses: Of each step.
    """

    rate: float
    order: int
    steps: int
    loss: float
    lost: bool
    losses: tuple[float, ...]


Verdict = Literal["found", "flat", "rough", "between", "nothing", "none"]


@dataclass(frozen=True)
class Outcome:
    """The answer of a race.

    Attributes:
        losses: At the horizon, by rate, ascending; infinite where the training was lost, also in
            another order of batches or later than at the horizon.
        horizon: Steps of the trainings that were compared; 0 if there was no comparison.
        planned: Steps of the training that the rate is for, or `None` if that is the horizon.
        epoch: Steps of an epoch.
        learned: Whether some rate lowered the loss.
        ceiling: The lowest rate whose training was lost; infinite if none was.
        own: The loss at the user's rate, if it was compared.
        pair: Losses of a shorter comparison in two orders of batches, if there were two.
        spent: Steps of all trainings together.
        step_seconds: Of one of them, all that a race takes counted in.
        trials: All trainings, by order of batches and rate.
        stopped: ``"finished"``, ``"budget"`` or ``"interrupted"``.
        chosen: Whether nobody planned a length: then it is that of the run.
        first: Loss of the first batch before training, if it was looked at.
    """

    losses: Mapping[float, float]
    horizon: int
    planned: int | None
    epoch: int
    learned: bool
    ceiling: float
    own: Mapping[float, float]
    pair: tuple[Mapping[float, float], ...]
    spent: int
    step_seconds: float
    trials: tuple[Trial, ...]
    stopped: str
    chosen: bool = False
    first: float = math.nan

    @property
    def rate(self) -> float:
        """The pick: the rate of the least loss; of a flat bottom the middle. `nan` if none learned.

        Which of the rates on a flat bottom has the least loss is chance, and may be its upper end,
        next to rates that fail; the middle has a factor 2 to either end. A rate next to those that
        fail may fail in another order of batches, so that half of it is picked where that costs no
        more than what such an order changes.
        """
        if not self.learned:
            return math.nan
        if self.centred:
            return middle(self.losses, self.bottom)
        winner = best(self.losses)
        below = winner / 2
        bound = tolerated(self.losses[winner], self.began)
        doubted = self.failed <= 2 * winner and self.losses.get(below, math.inf) <= bound
        return below if doubted else winner

    @property
    def again(self) -> dict[float, bool]:
        """Rates next to lost ones that were trained in another order, and whether that was lost."""
        orders = [trial.order for trial in self.trials]
        return {
            trial.rate: trial.lost
            for trial in self.trials
            if trial.order != min(orders) and (trial.lost or trial.steps >= self.horizon)
        }

    @property
    def bottom(self) -> list[float]:
        """Rates that did about as well as the best, ascending: of such only those that learned.

        And only those with none between them and the best that did worse, was lost or raised the
        loss.
        """
        near, winner, began = within(self.losses, NEAR), best(self.losses), self.began
        ends = [
            *self.losses.items(),
            *((t.rate, math.inf if t.lost else t.loss) for t in self.trials),
        ]
        lost = [rate for rate, loss in ends if not math.isfinite(loss) or loss > began]
        lost += [rate for rate in self.losses if rate not in near]
        lower = max((rate for rate in lost if rate < winner), default=0.0)
        upper = min((rate for rate in lost if rate > winner), default=math.inf)
        near = [rate for rate in near if lower < rate < upper]
        if math.isnan(began):
            return near
        learned = began - LEARNED * abs(began)
        return [rate for rate in near if rate == winner or self.losses[rate] < learned]

    @property
    def wide(self) -> bool:
        """Whether rates a factor 4 apart did about as well as the best."""
        return self.learned and self.bottom[-1] >= _WIDE * self.bottom[0]

    @property
    def centred(self) -> bool:
        """Whether the pick is the middle of a flat bottom.

        Not where the best is the last that was compared, on the lower side or on an upper one
        without failures: there the bottom may go on, so that its middle is not known.
        """
        if not self.wide:
            return False
        winner = best(self.losses)
        ends_above = winner < max(self.losses) or self.failed <= 2 * winner
        return ends_above and winner > min(self.losses)

    @property
    def interval(self) -> tuple[float, float]:
        """Where the best rate is expected; wider by what two orders of batches disagree.

        A rate that was seen to fail lies outside.
        """
        if not self.learned:
            return math.nan, math.nan
        wide = self.share < 0.5 or (self.short and self.chosen)
        wider = (_WIDEST if wide else _WIDER) * self.disagreement
        near, failed = within(self.losses, NEAR), self.failed
        highest = max(rate for rate in near if rate < failed)
        return min(near[0], self.rate) / wider, min(
            highest * wider, max(highest, failed * SHORT_OF)
        )

    @property
    def ahead(self) -> bool:
        """Whether the user's rate lowered the loss as no other did, by what is called learning."""
        least = min(self.losses.values(), default=math.inf)
        return any(loss < least - LEARNED * abs(least) for loss in self.own.values())

    @property
    def began(self) -> float:
        """The loss before training, see `began`."""
        return began(self.trials)

    @property
    def failed(self) -> float:
        """The lowest rate above the bottom whose training was lost, or learned next to nothing.

        That is also one that ended far above the best, where there is something left to learn.
        Infinite if none did.
        """
        if not self.learned:
            return math.inf
        # What did well in the longest trainings may have been slow in shorter ones.
        top, began = self.bottom[-1], self.began
        ends = [(self.ceiling, math.inf), *self.losses.items(), *self.own.items()]
        ends += [(t.rate, math.inf if t.lost else t.loss) for t in self.trials]
        learned = began - LEARNED * abs(began)
        far = max(_FAR * min(self.losses.values()), _GONE * began)
        if far > 0 and began > 0:  # of trainings as long as that of the best alone
            compared = {**self.losses, **self.own}
            ends += [(rate, math.inf) for rate, loss in compared.items() if loss > far]
        failed = (rate for rate, loss in ends if rate > top and not loss < learned)
        unknown = (rate for rate, loss in ends if rate > top and math.isinf(loss))
        return min(unknown if math.isnan(began) else failed, default=math.inf)

    @property
    def disagreement(self) -> float:
        """Factor between what two orders of batches pick after the same number of steps.

        1 where that is no more than the spacing of the rates, or one order alone was tried.
        """
        if not (self.learned and self.pair):
            return 1.0
        one, other = map(best, self.pair)
        factor = max(one / other, other / one)
        return factor if factor > 2 else 1.0

    @property
    def share(self) -> float:
        """Part of the planned training that was compared."""
        return 1.0 if self.planned is None else self.horizon / self.planned

    @property
    def short(self) -> bool:
        """Whether fewer steps were compared than tell a rate, unless no more are planned."""
        planned = FEW_STEPS if self.chosen else self.planned or FEW_STEPS
        return self.horizon < min(FEW_STEPS, planned)

    @property
    def averaged(self) -> bool:
        """Whether losses are means over the last quarter of the steps."""
        return averages(self.horizon, self.epoch)

    @property
    def verdict(self) -> Verdict:
        """How much the answer is worth.

        ``"none"``: no comparison. ``"nothing"``: no rate lowered the loss. ``"rough"``: of
        trainings so short that they tell an order of magnitude. ``"between"``: another order of
        batches picks another rate. ``"flat"``: rates a factor 4 apart do about as well. Else
        ``"found"``.
        """
        if not self.losses:
            return "none"
        if not self.learned:
            return "nothing"
        # Shorter than a quarter of the training, the best rate was within a factor 2 in 2 of 3.
        if self.share < 0.25 or self.short:
            return "rough"
        if self.disagreement > 1:
            return "between"
        return "flat" if self.wide else "found"


def averages(horizon: int, epoch: int) -> bool:
    """Whether a training of so many steps is judged by the mean over their last quarter.

    With two epochs or more; a shorter training has seen each example once or not at all, so that
    its losses are those of different examples for different steps.
    """
    return horizon >= 2 * epoch


def sound(losses: Mapping[float, float], trials: Sequence[Trial]) -> dict[float, float]:
    """Losses by rate, infinite from the lowest rate on at which one of the trainings was lost.

    That may be in another order of batches, or beyond the length of the losses. As they are where
    none would be left.
    """
    lost = min((t.rate for t in trials if t.lost and t.rate in losses), default=math.inf)
    kept = {rate: loss if rate < lost else math.inf for rate, loss in losses.items()}
    return kept if any(map(math.isfinite, kept.values())) else dict(losses)


def began(trials: Sequence[Trial]) -> float:
    """The loss before training, `nan` if unknown: what the smallest rate left it at.

    Of its first steps and of its end the larger, as a few batches may be easy ones.
    """
    known = [trial for trial in trials if trial.losses]
    if not known:
        return math.nan
    slowest = min(known, key=lambda trial: (trial.order, trial.rate))
    ended = slowest.loss if math.isfinite(slowest.loss) else -math.inf
    return max(fmean(slowest.losses[:_FIRST]), ended)


def tolerated(least: float, began: float) -> float:
    """A loss that is above the least by no more than what another order of batches changes.

    Args:
        least: Loss of the best rate.
        began: Before training.
    """
    return least * (_FITTED if least < _LITTLE * began else _OTHER) if least > 0 else least


def best(losses: Mapping[float, float]) -> float:
    """The rate of the lowest loss; of equal ones the lowest rate."""
    return min(sorted(losses), key=losses.__getitem__)


def middle(losses: Mapping[float, float], rates: Sequence[float]) -> float:
    """Of ascending rates the one nearest to the geometric middle; of two the lower loss.

    Example:
        >>> middle({0.25: 0.61, 0.5: 0.60, 1.0: 0.59}, [0.25, 0.5, 1.0])
        0.5
    """
    centre = math.sqrt(rates[0] * rates[-1])
    return min(rates, key=lambda r: (round(abs(math.log2(r / centre)), 6), losses[r], r))


def within(losses: Mapping[float, float], part: float) -> list[float]:
    """Rates whose loss is above the least by at most this part of it, ascending."""
    least = min(losses.values())
    return [rate for rate in sorted(losses) if losses[rate] <= least + part * abs(least)]


def level_with(losses: Mapping[float, float], rate: float) -> bool:
    """Whether a rate's loss is as good as the best."""
    return rate in within(losses, LEVEL)


def flat(losses: Mapping[float, float]) -> bool:
    """Whether no rate beats the smallest by more than chance."""
    smallest = losses[min(losses)]
    least = min(losses.values())
    return not least < smallest - LEARNED * abs(smallest)


def with_run(outcome: Outcome, rate: float, losses: Sequence[float], order: int) -> Outcome:
    """The race, with a run at a rate that it had not compared as one more of its trainings.

    As it is where the run was shorter, or where trainings are not judged by their own losses.

    Args:
        outcome: Of the race.
        rate: Of the run, from the same weights.
        losses: Of each of its steps.
        order: Seed of its order of batches.
    """
    horizon = outcome.horizon
    if rate in outcome.own or rate in outcome.losses or not outcome.averaged:
        return outcome
    seen = tuple(losses[:horizon])
    if len(seen) < horizon or not all(map(math.isfinite, seen)):
        return outcome
    loss = fmean(seen[-max(horizon // 4, 1) :])
    trial = Trial(rate, order, horizon, loss, False, seen)
    return replace(outcome, own={rate: loss}, trials=(*outcome.trials, trial))
