"""What a sampler costs, and what it buys where one of ours is tuned.

    python3 x.py bench search times     processor time to sample a trial, by number of trials before
    python3 x.py bench search rfm       bandwidth and ridge of a feature machine, by any sampler

Needs `pip install 'overparam[search]'`. The feature machine is tuned on three folds of the training
rows of the diabetes table, and scored once on test rows that no search has seen; beside it stands
the machine as it comes, which finds its own ridge.
"""

import argparse
import time
from collections.abc import Callable
from statistics import mean, stdev
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

BEFORE = (20, 50, 100)
REPEATS = 5
SEEDS = range(5)
TRIALS = 30


def samplers(seed: int) -> dict[str, Callable[[], Any]]:
    """Optuna's and ours, made anew for every study."""
    import optuna

    from overparam.search import SACSampler, SACSettings

    def ours(**settings: Any) -> Callable[[], Any]:
        return lambda: SACSampler(seed=seed, settings=SACSettings(**settings))

    return {
        "random": lambda: optuna.samplers.RandomSampler(seed=seed),
        "TPE": lambda: optuna.samplers.TPESampler(seed=seed),
        "CMA-ES": lambda: optuna.samplers.CmaEsSampler(seed=seed),
        "GP": lambda: optuna.samplers.GPSampler(seed=seed, deterministic_objective=True),
        "SAC, none": ours(regularisation="none"),
        "SAC, mixture": ours(),
        "SAC, hierarchical": ours(regularisation="hierarchical"),
        "SAC, discount 0.9": ours(gamma=0.9),
    }


def sampling_times(
    make: Callable[[], Any], before: tuple[int, ...] = BEFORE, repeats: int = REPEATS
) -> list[float]:
    """Processor seconds to ask for a trial after so many, the median of a few in a row."""
    import optuna

    space = {f"x{i}": optuna.distributions.FloatDistribution(-1, 1) for i in range(6)}
    study = optuna.create_study(sampler=make())
    found: list[float] = []
    for _ in range(before[-1] + repeats):
        started = time.process_time()
        trial = study.ask(space)
        found.append(time.process_time() - started)
        study.tell(trial, sum(value**2 for value in trial.params.values()))
    return [float(np.median(found[n : n + repeats])) for n in before]


def times(console: Console) -> None:
    """A table of them."""
    table = Table("sampler", *(f"after {n} trials" for n in BEFORE))
    for name, make in samplers(0).items():
        table.add_row(name, *(f"{1000 * t:.1f} ms" for t in sampling_times(make)))
    console.print(table)


def tuned(make: Callable[[], Any], seed: int, trials: int = TRIALS) -> tuple[float, float]:
    """R² over the folds of the best setting found, and on the test rows."""
    from sklearn.datasets import load_diabetes
    from sklearn.model_selection import train_test_split

    from overparam.kernels import RFMRegressor
    from overparam.search import tune

    x, y = load_diabetes(return_X_y=True)
    x, x_test, y, y_test = train_test_split(x, y, train_size=250, random_state=seed)
    study = tune(RFMRegressor(n_iter=2), x, y, sampler=make(), n_trials=trials, seed=seed)
    model = RFMRegressor(n_iter=2, **study.best_params).fit(x, y)
    return float(study.best_value), float(model.score(x_test, y_test))


def rfm(console: Console) -> None:
    """A table of what each sampler found."""
    from sklearn.datasets import load_diabetes
    from sklearn.model_selection import train_test_split

    from overparam.kernels import RFMRegressor

    table = Table("sampler", "R² over the folds", "R² on test rows")
    x, y = load_diabetes(return_X_y=True)
    plain = []
    for seed in SEEDS:
        x_train, x_test, y_train, y_test = train_test_split(x, y, train_size=250, random_state=seed)
        plain.append(RFMRegressor(n_iter=2).fit(x_train, y_train).score(x_test, y_test))
    table.add_row("none: as it comes", "", f"{mean(plain):.4f} ± {stdev(plain):.4f}")
    for name in samplers(0):
        found = [tuned(samplers(seed)[name], seed) for seed in SEEDS]
        columns = zip(*found, strict=True)
        table.add_row(name, *(f"{mean(c):.4f} ± {stdev(c):.4f}" for c in columns))
    console.print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("times", "rfm"))
    what = parser.parse_args().what

    import optuna
    import torch

    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    {"times": times, "rfm": rfm}[what](Console())
