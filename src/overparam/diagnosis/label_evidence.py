"""Whether labels were drawn at random, from counts. Nothing here has seen a tensor.

What a network contradicts is wrong or only hard for it: misfit is not noise. Two things tell.
A label drawn at random is as often wrong where the network is sure, and is any of the
alternatives; where a network misfits it is unsure, and the right label is its second guess. And
labels of the training part alone that are wrong make it err there more often than on others.
"""

import math
from dataclasses import dataclass
from typing import Literal

# A network that errs, over its classes, on more than this part of what a guess would has not
# fitted what can be learned.
FITTED = 0.7
# Nor has one that errs on more than this beside the labels that look random.
UNEXPLAINED = 0.2
# Nor one whose surest guesses are hardly surer than blind ones: they err by themselves.
SURE = 0.25
# Of what the network contradicts so much must look random, and of all labels so much.
RANDOM, LEAST = 1 / 3, 0.02
# Labels are called sound if at most this part of them can be random.
MOST = 0.1
# Standard deviations of an interval, and of an excess that no chance explains; least excess.
SPREAD, BEYOND_CHANCE, LEAST_EXCESS = 2.0, 4.0, 0.03
# Fewer sure predictions than this say little, whatever they are.
FEW = 40
# Part of the suspects whose labels a network must have learned to be memorising them.
MEMORISED = 0.1


@dataclass(frozen=True, kw_only=True)
class LabelEvidence:
    """What was counted, mostly at the last epoch at which the held-out loss was near its least.

    Attributes:
        epoch: That epoch.
        classes: Number of classes.
        n_train: Training examples.
        held_out: Held-out examples it was counted on.
        error: Share of wrong predictions on them.
        error_by_class: Share of wrong ones among the predictions of each class, mean over the
            classes; 1 for a class that occurs and was never predicted.
        sure: How many predictions are the surest half, with two classes the surest quarter, and
        sure_wrong: how many of them contradict the label.
        implausible: Labels in the lower half of the alternatives to the first guess; `None`
            with two classes, which leave one alternative.
        excess: Error on training examples over that on held-out ones, in the epoch in which it
            exceeds chance the most;
        excess_deviation: its standard deviation, and
        excess_error: the error on training examples there.
        confidence: Mean probability of the surest guesses, over that of a blind one: 0 for a
            blind one, 1 for certainty; 1 where outputs are no probabilities.
        suspects: Labels that look wrong.
        learned: Share of them that the network gives at the end.
    """

    epoch: int
    classes: int
    n_train: int
    held_out: int
    error: float
    error_by_class: float
    sure: int
    sure_wrong: int
    implausible: int | None = None
    excess: float = 0.0
    excess_deviation: float = 1.0
    excess_error: float = 0.0
    confidence: float = 1.0
    suspects: int = 0
    learned: float = 0.0


@dataclass(frozen=True)
class LabelVerdict:
    """What follows.

    Attributes:
        kind: ``"random"``: labels drawn at random are among them; ``"sound"``: hardly any are;
            cannot tell: ``"misfit"``, the network has to fit better first, ``"few"``, there
            are too few held-out examples.
        rate: Estimated share of labels drawn at random.
        low: Least and
        high: largest share that agrees with the counts.
    """

    kind: Literal["random", "sound", "misfit", "few"]
    rate: float
    low: float
    high: float


def judge(found: LabelEvidence) -> LabelVerdict:
    """Random labels, none, or cannot tell.

    Example:
        A network that errs on 8 % of held-out examples, and never where it is sure:

        >>> judge(LabelEvidence(epoch=9, classes=10, n_train=2000, held_out=500, error=0.08,
        ...                     error_by_class=0.08, sure=125, sure_wrong=0, implausible=2)).kind
        'sound'
    """
    rate, low, high = held_out_rate(found)
    if found.error_by_class > largest_error(found.classes) or found.confidence < SURE:
        return LabelVerdict("misfit", rate, low, high)
    likely = rate >= RANDOM * found.error and found.error - rate <= UNEXPLAINED
    if likely and low >= LEAST:
        return LabelVerdict("random", rate, low, high)
    if found.excess > BEYOND_CHANCE * found.excess_deviation:
        # At least the excess, since the network misfits held-out examples more, and at most all
        # the training labels that it contradicts.
        spread = SPREAD * found.excess_deviation
        bounds = (found.excess - spread, max(found.excess + spread, found.excess_error))
        enough = max(RANDOM * found.excess_error, LEAST_EXCESS)
        kind = "random" if found.excess >= enough else "misfit"
        return LabelVerdict(kind, found.excess, *bounds)
    if high <= MOST:
        return LabelVerdict("sound", rate, low, high)
    return LabelVerdict("few" if found.sure < FEW else "misfit", rate, low, high)


def largest_error(classes: int) -> float:
    """Of a network that has fitted what can be learned, over its classes."""
    return FITTED * (1 - 1 / classes)


def held_out_rate(found: LabelEvidence) -> tuple[float, float, float]:
    """Share of held-out labels that look drawn at random, with an interval.

    The less of two estimates: the share of the surest predictions that are contradicted, and
    (C − 1)/⌊(C−1)/2⌋ times the share of implausible labels.
    """
    estimates = [_share(found.sure_wrong, found.sure)]
    if found.implausible is not None:
        alternatives = found.classes - 1
        scale = alternatives / (alternatives // 2)
        share = _share(found.implausible, found.held_out)
        estimates.append((scale * share[0], scale * share[1], min(scale * share[2], 1.0)))
    return min(estimates)


def _share(count: int, total: int) -> tuple[float, float, float]:
    """A share and its Wilson interval."""
    if total == 0:
        return 0.0, 0.0, 1.0
    share, square = count / total, SPREAD**2 / total
    middle = (share + square / 2) / (1 + square)
    half = SPREAD * math.sqrt(share * (1 - share) / total + square / (4 * total)) / (1 + square)
    return share, max(middle - half, 0.0), min(middle + half, 1.0)
