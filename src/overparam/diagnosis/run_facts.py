"""What a run was, from its numbers: the facts that several statements agree on."""

import math

from overparam._curves import level_at_end
from overparam._told import real as show
from overparam.diagnosis.budget import RACE
from overparam.diagnosis.findings import Findings
from overparam.diagnosis.label_evidence import MEMORISED, judge
from overparam.diagnosis.race.outcome import LEARNED
from overparam.diagnosis.rate_statement import whole_budget

# A loss that lost less than this part of itself over the last quarter of a run has stalled.
STALLED = 0.01
# Outputs that differ by less than this part of what targets do, or of one logit, are the same.
SAME = 1e-3
# Below this the kernel of training is the kernel of initialisation for all purposes.
KERNEL_REGIME = 0.1
# A run of which measuring took more than this part has less to show for its time.
_DEAR = 0.5


def dead(found: Findings) -> bool:
    """Whether the trained network gives all examples the same outputs."""
    return found.output_spread < SAME


def fell(found: Findings) -> bool:
    """Whether the training loss fell, by as much as a race calls learning."""
    losses = [loss for loss in found.losses if math.isfinite(loss)]
    return len(losses) > 1 and losses[-1] < losses[0] - LEARNED * abs(losses[0])


def halved(found: Findings) -> bool:
    """Whether half of the training loss was lost at least."""
    losses = [loss for loss in found.losses if math.isfinite(loss)]
    return fell(found) and losses[-1] < losses[0] / 2 and losses[0] > 0


def learned_nothing(found: Findings) -> str:
    """Why the network of a run is not one that learned something; empty if it is."""
    if found.diverged:
        return "the run diverged"
    if dead(found):
        return "the network is dead"
    if fell(found):
        return ""
    if cut_short(found):
        return (
            f"the run was over after {found.steps:,} of {found.cut:,} steps, before the loss fell"
        )
    return f"the training loss fell by less than {show(100 * LEARNED)} %"


def worsened(found: Findings) -> bool:
    """Whether the test measure ended worse than it had been."""
    known = [value for value in found.test_errors if math.isfinite(value)]
    if not known:
        return False
    last, _ = level_at_end(known)
    return last > min(known) + slack(found, min(known), last)


def slack(found: Findings, best: float, last: float) -> float:
    """By how much the test measure may be worse at the end before it says anything."""
    if found.test_measure != "error":
        return 0.1 * abs(best)
    # Twice the standard error of the difference between two shares of as many examples; one error
    # more among them, and one answer more that is right, as none in a few is not never.
    n = found.n_test
    share = (n * min(last, 1.0) + 1) / (n + 2)
    return max(0.01, 2 * math.sqrt(2 * share * (1 - share) / n) if n else 0.0)


def mislabelled(found: Findings) -> bool:
    """Whether labels look drawn at random."""
    return found.label_evidence is not None and judge(found.label_evidence).kind == "random"


def memorising(found: Findings) -> bool:
    """Whether the network was learning labels that look wrong: then a lower loss is no aim."""
    evidence = found.label_evidence
    return evidence is not None and evidence.learned >= MEMORISED and mislabelled(found)


def carries_nothing(found: Findings) -> bool:
    """Whether what was learned of the training examples is of no use for others.

    By errors alone, against that of always answering the most frequent class: the network errs on
    clearly fewer of the training examples, and was never clearly better on the test examples.
    """
    errors = [value for value in found.test_errors if math.isfinite(value)]
    guess = found.test_guess
    if not errors or found.test_measure != "error" or not math.isfinite(guess):
        return False
    chance = slack(found, guess, guess)
    return found.train_error < guess - chance and min(errors) > guess - chance


def ending(found: Findings) -> str:
    """Why a run ended before its planned steps; empty if it did not."""
    if not found.cut:
        return ""
    after = f"after {found.steps:,} of {found.cut:,} steps"
    measured = found.overhead / (1 + found.overhead)
    dear = f"; {show(100 * measured)} % of it went into measuring" if measured > _DEAR else ""
    return {
        "interpolated": f" With nothing left to learn, the run ended {after}.",
        "diverged": f" It ended {after}.",
    }.get(found.stopped, f" The run's part of the budget was used up {after}{dear}.")


def larger(found: Findings, what: str) -> str:
    """The budget that would do something, as far as it can be told."""
    if not math.isfinite(found.budget):
        return f"A larger budget {what}."
    short = found.cut and found.steps and found.stopped == "budget"
    seconds = (found.cut or 1) / found.steps * found.budget if short else 0.0
    # Of a small budget what does not grow with the steps may have taken most.
    whole = whole_budget(found.outcome, RACE)
    seconds = max(min(seconds, whole) if whole > 0 else seconds, 2 * found.budget)
    return f"A budget of about {show(seconds, 2)} s {what}."


def longer(found: Findings) -> str:
    """What would tell of a run that its budget cut short; empty if it was not, or would not."""
    lost = found.diverged or dead(found) or not cut_short(found)
    return "" if lost else larger(found, "sees it to its end")


def unmeasured(found: Findings) -> tuple[str, str]:
    """Why a network was not measured, and what would do; empty if it was."""
    why, _, action = found.unmeasured.partition(".")
    return why, action.strip()


def cut_short(found: Findings) -> bool:
    """Whether the budget left less than half of the planned steps."""
    return found.cut is not None and found.stopped == "budget" and 2 * found.steps < found.cut
