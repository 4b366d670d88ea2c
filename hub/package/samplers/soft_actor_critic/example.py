"""A bowl with a choice beside it, searched by soft actor-critic."""

from __future__ import annotations

import optuna
import optunahub


def objective(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", -5, 5)
    rate = trial.suggest_float("rate", 1e-4, 1, log=True)
    kind = trial.suggest_categorical("kind", ["a", "b"])
    return x**2 + abs(rate - 0.01) + (kind == "a")


if __name__ == "__main__":
    module = optunahub.load_module(package="samplers/soft_actor_critic")
    study = optuna.create_study(sampler=module.SACSampler(seed=0))
    study.optimize(objective, n_trials=100)
    print(study.best_trial)
