"""The same number of trials for every algorithm, judged on examples that judge nothing else."""

import math
from collections.abc import Callable
from typing import Any

from overparam._errors import complaint, unknown
from overparam._extras import needed
from overparam.federated.experiments.one_run import Row, Runner
from overparam.federated.experiments.spec_file import WITH_SERVER

# What is tried, by algorithm: windows of settings, all logarithmic.
_SGD, _ADAM = {"lr": (1e-2, 3.0)}, {"lr": (3e-4, 1e-1)}
WINDOWS: dict[str, dict[str, tuple[float, float]]] = {
    "fedavg": _SGD, "fedavgm": _SGD, "scaffold": _SGD, "fedcm": {"lr": (1e-2, 10.0)},
    "fedadam": {"lr": (1e-2, 3.0), "server_lr": (1e-2, 1.0)}, "fadamgc": _ADAM,
    "localadam": _ADAM,
}  # fmt: skip
# A best setting within this part of its window's end, in logarithms, counts as being there.
_END = 0.05
# What a run is worth whose loss is not finite or beyond it.
_WORST = -1e6


def expect_rivals(names: list[str], own: str, where: str) -> None:
    """Raise unless all are algorithms with a server, each once."""
    if own not in WITH_SERVER:
        raise complaint(
            where, "a spec of an algorithm with a server", own,
            "there is nothing to compare it with here; see `overparam study list`.",
        )  # fmt: skip
    for name in names:
        if name not in WITH_SERVER:
            unknown(where, "an algorithm with a server", name, WITH_SERVER)
        if names.count(name) > 1 or name == own:
            raise complaint(where, "other algorithms than the spec's, each once", name)


def tuned(
    runner: Runner, name: str, given: dict[str, Any], trials: int, seed: int,
    tell: Callable[[float], None],
) -> Row:  # fmt: skip
    """The best settings out of so many trials.

    Args:
        runner: Whose pool has a validation part for a test part.
        name: Of the algorithm.
        given: Settings that stay as they are.
        trials: How many.
        seed: Of the sampler, and of all trials.
        tell: Called with the share of them that is done.

    Returns:
        Plain data: windows, trials, the best settings, and which of them lie at an end.
    """
    optuna = needed("federate --against", "optuna", "search")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    windows = WINDOWS[name]
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=max(3, trials // 3))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    rows = []
    for done in range(1, trials + 1):
        trial = study.ask()
        tried = {key: trial.suggest_float(key, *ends, log=True) for key, ends in windows.items()}
        value = worth(runner.run(name, {**given, **tried}, seed))
        study.tell(trial, value)
        rows.append({"settings": tried, "value": value})
        tell(done / trials)
    best = max(rows, key=lambda row: row["value"])
    return {
        "algorithm": name,
        "windows": {key: list(ends) for key, ends in windows.items()},
        "trials": rows,
        "best": best["settings"],
        "value": best["value"],
        "at_end": [key for key, value in best["settings"].items() if _at_end(value, windows[key])],
    }


def worth(row: Row) -> float:
    """What is made large: accuracy at the end; of numbers, less loss."""
    curve = row["curve"]
    value = curve["test_accuracy"][-1] if "test_accuracy" in curve else None
    if value is None:
        loss = curve["test_loss"][-1]
        value = _WORST if loss is None else -float(loss)
    return value if math.isfinite(value) and value > _WORST else _WORST


def _at_end(value: float, window: tuple[float, float]) -> bool:
    low, high = map(math.log, window)
    place = (math.log(value) - low) / (high - low)
    return not _END < place < 1 - _END
