import numpy as np
import pytest
from sklearn.linear_model import Ridge

from overparam.errors import NumericalError
from overparam.kernels import RFMClassifier, RFMRegressor
from overparam.search import SACSampler, SACSettings, tune

optuna = pytest.importorskip("optuna", reason="needs Optuna: the extra search")
Float = optuna.distributions.FloatDistribution
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
RIDGE = {"alpha": Float(1e-3, 1e3, log=True)}


@pytest.fixture(scope="module")
def table():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(90, 6))
    return x, x[:, 0] * x[:, 1] + 0.1 * draw.normal(size=90)


@pytest.mark.parametrize(
    "sampler",
    [
        None,
        optuna.samplers.RandomSampler(seed=0),
        SACSampler(seed=0, n_startup_trials=4, settings=SACSettings(updates=2, hidden=8)),
    ],
    ids=["default", "random", "sac"],
)
def test_bandwidth_and_ridge_of_a_feature_machine_are_found_by_any_sampler(sampler, table):
    model = RFMRegressor(n_iter=2)
    study = tune(model, *table, sampler=sampler, n_trials=8)
    assert len(study.trials) == 8
    assert set(study.best_params) == {"bandwidth", "alpha"}
    assert study.best_value == max(trial.value for trial in study.trials)
    assert model.get_params() == RFMRegressor(n_iter=2).get_params()
    assert not hasattr(model, "alpha_")


def test_a_trial_is_the_mean_over_the_same_folds(table):
    from sklearn.model_selection import KFold, cross_val_score

    study = tune(Ridge(), *table, RIDGE, n_trials=2, cv=4, seed=3)
    for trial in study.trials:
        folds = KFold(4, shuffle=True, random_state=3)
        expected = cross_val_score(Ridge(**trial.params), *table, cv=folds).mean()
        assert trial.value == pytest.approx(expected, abs=1e-12)


def test_classes_are_stratified_and_other_scores_are_taken(table):
    x, _ = table
    rare = (np.arange(90) % 15 == 0).astype(int)  # 6 of 90: plain folds may lack them
    study = tune(RFMClassifier(n_iter=1), x, rare, n_trials=1, scoring="roc_auc", cv=6)
    assert 0 <= study.best_value <= 1


def test_it_goes_on_where_it_was(table, tmp_path):
    where = {"storage": f"sqlite:///{tmp_path / 't.db'}", "study_name": "ridge"}
    assert len(tune(Ridge(), *table, RIDGE, n_trials=3, **where).trials) == 3
    trials = tune(Ridge(), *table, RIDGE, n_trials=5, **where).trials
    assert len({trial.params["alpha"] for trial in trials}) == 5  # none of them again
    assert len(tune(Ridge(), *table, RIDGE, n_trials=4, **where).trials) == 5


def test_a_pruner_stops_trials_between_folds(table):
    class Never(optuna.pruners.BasePruner):
        def prune(self, study, trial):
            return trial.number > 0

    study = tune(Ridge(), *table, RIDGE, n_trials=3, pruner=Never())
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "PRUNED", "PRUNED"]
    assert [len(trial.intermediate_values) for trial in study.trials] == [3, 1, 1]


class Fragile(Ridge):
    """It breaks down where the ridge is small."""

    def fit(self, X, y):
        if self.alpha < 1:
            raise NumericalError("`Fragile.fit` expected a positive definite matrix.")
        return super().fit(X, y)


def test_fits_that_break_down_are_failed_trials(table):
    study = tune(Fragile(), *table, RIDGE, n_trials=8)
    states = {trial.state.name for trial in study.trials}
    assert states == {"COMPLETE", "FAIL"}
    assert study.best_params["alpha"] >= 1


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"n_trials": 0}, r"`tune\(n_trials=...\)`"),
        ({"space": {"alpha": (0, 1)}}, r"`tune\(space=...\)` expected Optuna's distributions"),
        ({"storage": "sqlite:///x.db"}, r"`tune\(study_name=...\)`"),
        ({"space": {"alhpa": Float(0, 1)}}, "alhpa"),
        ({"space": None}, "bandwidth"),
        ({"seed": None}, r"`tune\(seed=...\)` expected a whole number"),
    ],
)
def test_wrong_arguments_are_named(wrong, named, table):
    with pytest.raises(ValueError, match=named):
        tune(Ridge(), *table, **{"space": RIDGE, "n_trials": 1, **wrong})
