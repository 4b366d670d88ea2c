"""A race as the plain data of a document."""

from typing import Any

from overparam._curves import stretch_means
from overparam.diagnosis.race.outcome import Outcome

# Curves are thinned to so many points for the sake of the file.
_POINTS = 300


def sweep_of(outcome: Outcome) -> dict[str, Any]:
    """The last comparison: losses by rate, the pick and its interval."""
    losses = {**outcome.losses, **outcome.own}
    rates = sorted(losses)
    low, high = outcome.interval
    return {
        "lr": rates,
        "loss": [losses[rate] for rate in rates],
        "advised": outcome.rate,
        "low": low,
        "high": high,
        "steps": outcome.horizon,
        "averaged": outcome.averaged,
        "learned": outcome.learned or outcome.ahead,
        "middle": outcome.centred,
    }


def trials_of(outcome: Outcome) -> list[dict[str, Any]]:
    """All trainings, their losses as means of stretches."""
    return [
        {
            "rate": trial.rate,
            "order": trial.order,
            "steps": trial.steps,
            "loss": trial.loss,
            "lost": trial.lost,
            "losses": stretch_means(trial.losses, _POINTS),
        }
        for trial in outcome.trials
    ]
