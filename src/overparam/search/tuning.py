"""Settings of an estimator, searched by any sampler of Optuna under cross-validation."""
# pyright: reportMissingImports=false

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from overparam._checked import checked
from overparam._errors import expect
from overparam._extras import needed
from overparam._types import Count, Natural
from overparam.datasets.dataset import expect_seed
from overparam.errors import NumericalError

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.study import Study


@checked
def tune(
    estimator: Any,
    X: Any,
    y: Any,
    space: Mapping[str, Any] | None = None,
    *,
    sampler: "BaseSampler | None" = None,
    pruner: "BasePruner | None" = None,
    n_trials: Count = 40,
    cv: Any = 3,
    scoring: Any = None,
    seed: Natural = 0,
    storage: Any = None,
    study_name: str | None = None,
) -> "Study":
    """Search an estimator's settings; the result is Optuna's study, with the best of them in it.

    A trial is one setting, its value the mean score over the folds, which are the same in all
    trials. After each fold the mean so far is reported, so that a pruner can stop the trial. A fit
    that breaks down numerically is a failed trial, as is a score that is no number.

    Args:
        estimator: Of scikit-learn's kind. It is copied, and stays as it is.
        X: Rows.
        y: Targets.
        space: Optuna's distributions by parameter. None, for estimators with a `bandwidth` and a
            ridge `alpha` such as `RFMRegressor`: 1 to 100 and 10⁻⁵ to 10, both on log scales.
        sampler: Any; None is Optuna's TPE with `seed`.
        pruner: Any; None prunes nothing.
        n_trials: In all: those that the storage has finished count.
        cv: Number of folds, drawn with `seed` and stratified for classifiers; or a splitter of
            scikit-learn.
        scoring: As for scikit-learn; None is the estimator's own score. Larger is better.
        seed: Of the folds and the default sampler.
        storage: Where trials are kept, such as ``"sqlite:///tuning.db"``; None is nowhere. The
            same call goes on where one that ended was.
        study_name: Its name there; needed with `storage`.

    Raises:
        MissingPackage: If Optuna is not installed.
        ValueError: If there is no space for such an estimator, or no name for what is stored.

    Cost:
        n_trials × folds fits, and what the sampler takes.

    Example:
        ::

            study = tune(RFMRegressor(), X, y, sampler=SACSampler(seed=0))
            model = RFMRegressor(**study.best_params).fit(X, y)
    """
    from sklearn.base import clone, is_classifier
    from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score

    optuna = needed("tune(...)", "optuna", "search")
    expect_seed(seed, "tune(seed=...)")  # None would draw from numpy's generator
    if space is None:
        Float = optuna.distributions.FloatDistribution
        space = {"bandwidth": Float(1.0, 100.0, log=True), "alpha": Float(1e-5, 10.0, log=True)}
    kind = optuna.distributions.BaseDistribution
    strange = [each for each in space.values() if not isinstance(each, kind)]
    expect(not strange, "tune(space=...)", "Optuna's distributions by parameter", strange)
    expect(
        (storage is None) == (study_name is None),
        "tune(study_name=...)",
        "a name for what `storage` keeps, and none without it",
        study_name,
    )
    if isinstance(cv, int):
        splitter = StratifiedKFold if is_classifier(estimator) else KFold
        cv = splitter(cv, shuffle=True, random_state=seed)
    folds = list(cv.split(X, y))
    study = optuna.create_study(
        storage=storage,
        study_name=study_name,
        sampler=optuna.samplers.TPESampler(seed=seed) if sampler is None else sampler,
        pruner=optuna.pruners.NopPruner() if pruner is None else pruner,
        direction="maximize",
        load_if_exists=True,
    )
    states = optuna.trial.TrialState
    done = sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))
    if done:  # or a seed would draw again what it drew first
        study.sampler.reseed_rng()
    for _ in range(n_trials - done):
        trial, means = study.ask(dict(space)), []
        model: Any = clone(estimator)
        model.set_params(**trial.params)
        try:
            for i, fold in enumerate(folds):
                options: Any = {"scoring": scoring, "error_score": "raise"}
                found = cross_val_score(model, X, y, cv=[fold], **options)
                means.append(float(found[0]))
                expect(np.isfinite(means[-1]), "tune", "finite scores", means, "", NumericalError)
                trial.report(float(np.mean(means)), i)
                if i + 1 < len(folds) and trial.should_prune():
                    study.tell(trial, state=states.PRUNED)
                    break
            else:
                study.tell(trial, float(np.mean(means)))
        except ArithmeticError:
            study.tell(trial, state=states.FAIL)
    return study
