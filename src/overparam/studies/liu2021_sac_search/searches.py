"""The searches that are compared: each is given a score, and returns what it found in order."""
# pyright: reportMissingImports=false

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from overparam._switches import quietly
from overparam.search.sampler import SACSampler
from overparam.search.settings import SACSettings

Score = Callable[[np.ndarray], float]

AGENTS = {
    "SAC, none": SACSettings(regularisation="none"),
    "SAC, mixture": SACSettings(regularisation="mixture"),
    "SAC, hierarchical": SACSettings(regularisation="hierarchical"),
    "SAC, discount 0.9": SACSettings(regularisation="mixture", gamma=0.9),
}
# The same agent, told something else than the score.
TOLD = {"SAC, cube root": "cube root", "SAC, told noise": "noise"}
STARTUP = 10  # uniform points of the evolution strategy, as many as Optuna's samplers draw


def search(
    name: str, score: Score, dimension: int, trials: int, updates: int, seed: int
) -> list[float]:
    """Scores of the points that a search tries, in order."""
    if name == "(1+1)-ES":
        return evolution(score, dimension, trials, seed)
    return with_optuna(
        sampler(name, trials, updates, seed), score, dimension, trials, seed, TOLD.get(name)
    )


def sampler(name: str, trials: int, updates: int, seed: int) -> Any:
    """One of Optuna's samplers, or ours."""
    import optuna

    if name in AGENTS or name in TOLD:
        settings = replace(AGENTS.get(name, AGENTS["SAC, mixture"]), updates=updates)
        return SACSampler(n_trials=trials, seed=seed, settings=settings)
    with quietly(category=optuna.exceptions.ExperimentalWarning):
        return {
            "random": lambda: optuna.samplers.RandomSampler(seed=seed),
            "TPE": lambda: optuna.samplers.TPESampler(seed=seed, multivariate=True),
            "CMA-ES": lambda: optuna.samplers.CmaEsSampler(seed=seed),
            "GP": lambda: optuna.samplers.GPSampler(seed=seed, deterministic_objective=True),
        }[name]()


def with_optuna(
    sampler: Any, score: Score, dimension: int, trials: int, seed: int, told: str | None
) -> list[float]:
    """A study of Optuna, trial by trial."""
    import optuna

    noise = np.random.default_rng(seed)
    space: dict[str, Any] = {
        f"u{i}": optuna.distributions.FloatDistribution(-1, 1) for i in range(dimension)
    }
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces every study
    try:
        study = optuna.create_study(direction="maximize", sampler=sampler)
    finally:
        optuna.logging.set_verbosity(verbosity)
    found = []
    for _ in range(trials):
        trial = study.ask(space)
        found.append(score(np.array([trial.params[name] for name in space])))
        value = found[-1]
        if told == "cube root":
            value = float(np.cbrt(value))
        elif told == "noise":
            value = noise.random()
        study.tell(trial, value)
    return found


def evolution(score: Score, dimension: int, trials: int, seed: int) -> list[float]:
    """(1+1)-ES: normal steps from the best point so far, by the one-fifth rule."""
    draw = np.random.default_rng(seed)
    found: list[float] = []
    best, step = np.zeros(dimension), 0.3
    for i in range(trials):
        if i < STARTUP:
            point = draw.uniform(-1, 1, dimension)
        else:
            point = np.clip(best + step * draw.standard_normal(dimension), -1, 1)
        value = score(point)
        better = value >= max(found, default=-np.inf)
        if i >= STARTUP:
            step *= 1.5 if better else 1.5**-0.25
        best = point if better else best
        found.append(value)
    return found
