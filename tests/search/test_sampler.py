"""Optuna's own tests of a sampler, and what they do not ask for."""

import pickle
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest

from overparam.search import SACSampler, SACSettings

optuna = pytest.importorskip("optuna", reason="needs Optuna: the extra search")
from optuna.distributions import FloatDistribution  # noqa: E402
from optuna.testing.pytest_samplers import (  # noqa: E402
    BasicSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)

# Its storages hold connections that nobody closes.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
SMALL = SACSettings(updates=2, hidden=8, batch_size=16)
KINDS = ("none", "mixture", "hierarchical")


@pytest.fixture(autouse=True)
def silent():
    """Optuna logs each trial."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


@pytest.mark.filterwarnings("ignore:`SACSampler` draws")
class TestOptunasOwn(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    @pytest.fixture
    def sampler(self):
        return lambda: SACSampler(n_startup_trials=0, seed=0, settings=SMALL)


def bowl(trial):
    x, y = trial.suggest_float("x", -1, 1), trial.suggest_float("y", 1e-4, 1, log=True)
    return (x - 0.3) ** 2 + (np.log10(y) + 2) ** 2 / 4


def conditional(trial):
    """The best of it is kind b with 3 layers, of which the last has the width 16."""
    if trial.suggest_categorical("kind", ["a", "b"]) == "a":
        return 2 + trial.suggest_float("rate", 1e-5, 1, log=True)
    layers = trial.suggest_int("layers", 1, 3)
    widths = [trial.suggest_int(f"width{i}", 4, 64, log=True) for i in range(layers)]
    return 3 - layers + abs(np.log2(widths[-1]) - 4)


def run(objective, n=30, direction="minimize", storage=None, name=None, seed=0, **rest):
    sampler = SACSampler(seed=seed, **rest)
    study = optuna.create_study(
        sampler=sampler, direction=direction, storage=storage, study_name=name, load_if_exists=True
    )
    study.optimize(objective, n_trials=n)
    return study


@pytest.mark.parametrize("kind", KINDS)
def test_it_finds_its_way(kind):
    study = run(bowl, 40, settings=SACSettings(regularisation=kind, updates=15, hidden=32))
    values = [trial.value for trial in study.trials]
    assert np.mean(values[25:]) < 0.6 * np.mean(values[:10])


def test_directions_are_mirror_images():
    down = run(bowl, 25, settings=SMALL)
    up = run(lambda trial: -bowl(trial), 25, "maximize", settings=SMALL)
    assert [t.params for t in down.trials] == [t.params for t in up.trials]


def test_the_same_seed_repeats_and_another_does_not():
    first, second, other = (run(bowl, 15, seed=s, settings=SMALL) for s in (0, 0, 1))
    assert [t.params for t in first.trials] == [t.params for t in second.trials]
    assert first.trials[-1].params != other.trials[-1].params


def test_parameters_of_branches_are_searched_together():
    study = run(conditional, 40, settings=SACSettings(updates=15, hidden=32))
    sampler = study.sampler
    space = sampler.infer_relative_search_space(study, study.trials[-1])
    assert set(space) == {"kind", "rate", "layers", "width0", "width1", "width2"}
    kinds = [trial.params["kind"] for trial in study.trials]
    assert kinds[25:].count("b") > 10
    point = sampler._space.point({"kind": "a", "rate": 1e-5})
    named = dict(zip(sampler._space.distributions, sampler._space._columns.values(), strict=True))
    assert point[named["kind"]].tolist() == [1, -1]
    assert point[named["rate"]].tolist() == [-1]
    assert all((point[named[f"width{i}"]] == 0).all() for i in range(3))


def test_a_range_that_changes_is_drawn_at_random_and_told_once():
    def objective(trial):
        n = trial.suggest_int("n", 2, 9)
        return trial.suggest_int("k", 1, n)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        study = run(objective, 20, settings=SMALL)
    told = [str(w.message) for w in caught if "SACSampler" in str(w.message)]
    assert told == ["`SACSampler` draws 'k' at random: its range is not the same in all trials."]
    assert set(study.sampler.infer_relative_search_space(study, study.trials[0])) == {"n"}


def test_pruned_trials_are_worse_and_the_later_pruned_the_better():
    from overparam.search.sampler import finished, scores

    create, states = optuna.trial.create_trial, optuna.trial.TrialState
    space = {"x": FloatDistribution(0, 1)}

    def trial(state, value=None, steps=None):
        return create(
            state=state,
            value=value,
            params={"x": 0.5},
            distributions=space,
            intermediate_values=steps or {},
        )

    study = optuna.create_study(direction="minimize")
    study.add_trials(
        [
            trial(states.COMPLETE, 9.0),
            trial(states.PRUNED, steps={0: 1.0, 3: 2.0}),
            trial(states.PRUNED, steps={0: 1.0}),
            trial(states.FAIL),
            trial(states.COMPLETE, -np.inf),
            trial(states.PRUNED, steps={0: np.nan}),
            trial(states.PRUNED),
        ]
    )
    assert scores(study, finished(study)).tolist() == [4, 3, 2, 5, 1, 0]


def test_it_goes_on_where_pruners_stop_trials():
    def objective(trial):
        value = bowl(trial)
        for step in range(3):
            trial.report(value + 3 - step, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return value

    study = optuna.create_study(
        sampler=SACSampler(seed=0, settings=SMALL),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=3),
    )
    study.optimize(objective, n_trials=30)
    states = [trial.state.name for trial in study.trials]
    assert {"PRUNED", "COMPLETE"} == set(states)
    assert len(study.sampler._points) == 29  # pruned ones are learned from too


def test_enqueued_and_failed_trials_are_no_obstacle():
    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        if trial.number % 3 == 0:
            raise ArithmeticError("diverged")
        return x

    study = optuna.create_study(sampler=SACSampler(seed=0, n_startup_trials=4, settings=SMALL))
    study.enqueue_trial({"x": 0.25})
    study.enqueue_trial({"x": 0.75})
    study.optimize(objective, n_trials=15, catch=(ArithmeticError,))
    assert [trial.params["x"] for trial in study.trials[:2]] == [0.25, 0.75]
    assert len(study.sampler._points) < 11


def test_threads_share_a_sampler():
    study = optuna.create_study(sampler=SACSampler(seed=0, settings=SMALL))
    study.optimize(bowl, n_trials=40, n_jobs=3)
    assert all(trial.state.name == "COMPLETE" for trial in study.trials)
    assert len({tuple(trial.params.values()) for trial in study.trials}) == 40


WORKER = """
import sys, warnings
import optuna
from overparam.search import SACSampler, SACSettings
optuna.logging.set_verbosity(optuna.logging.WARNING)
storage, n = sys.argv[1], int(sys.argv[2])
def objective(trial):
    x, y = trial.suggest_float("x", -1, 1), trial.suggest_float("y", 1e-4, 1, log=True)
    trial.set_user_attr("by", "the other")
    return (x - 0.3) ** 2 + y
settings = SACSettings(updates=2, hidden=8, batch_size=16)
sampler = SACSampler(seed=1, n_startup_trials=4, settings=settings)
study = optuna.load_study(study_name="shared", storage=storage, sampler=sampler)
study.optimize(objective, n_trials=n)
"""


def test_two_processes_share_a_study_in_sqlite(tmp_path):
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    optuna.create_study(storage=storage, study_name="shared")
    other = subprocess.Popen([sys.executable, "-c", WORKER, storage, "10"])
    sampler = SACSampler(seed=0, n_startup_trials=4, settings=SMALL)
    study = optuna.load_study(study_name="shared", storage=storage, sampler=sampler)
    while not study.trials:  # importing takes the other longer than all trials of this one
        assert other.poll() is None
        time.sleep(0.02)
    study.optimize(lambda trial: bowl(trial), n_trials=10)
    assert other.wait(timeout=200) == 0
    trials = study.trials
    assert [trial.number for trial in trials] == list(range(20))
    assert all(trial.state.name == "COMPLETE" for trial in trials)
    assert sum("by" in trial.user_attrs for trial in trials) == 10
    assert len({tuple(trial.params.values()) for trial in trials}) == 20
    # What the agent of this process knows of it, asked once more, is everything.
    study.ask({"x": FloatDistribution(-1, 1), "y": FloatDistribution(1e-4, 1, log=True)})
    assert set(sampler._points) == set(range(20))


def test_a_study_is_resumed_from_its_storage(tmp_path):
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    run(bowl, 15, storage=storage, name="s", settings=SMALL)
    resumed = run(bowl, 5, storage=storage, name="s", settings=SMALL)
    assert len(resumed.trials) == 20
    assert set(resumed.sampler._points) == set(range(19))
    random = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    random.optimize(bowl, n_trials=5)
    drawn = [trial.params for trial in random.trials]
    assert [trial.params for trial in resumed.trials[15:]] != drawn  # it did not start over


def test_a_pickled_sampler_goes_on_exactly():
    study = run(bowl, 15, settings=SMALL)
    copy = pickle.loads(pickle.dumps(study.sampler))
    space = study.trials[-1].distributions
    states = (optuna.trial.TrialState.COMPLETE,)
    trial = study.get_trials(states=states)[-1]
    proposals = [s.sample_relative(study, trial, space) for s in (study.sampler, copy)]
    assert proposals[0] == proposals[1]


def test_one_sampler_serves_two_studies():
    sampler = SACSampler(seed=0, n_startup_trials=3, settings=SMALL)
    for _ in range(2):
        study = optuna.create_study(sampler=sampler)
        study.optimize(bowl, n_trials=6)
        assert set(sampler._points) == set(range(5))


def test_several_objectives_are_refused():
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=SACSampler())
    with pytest.raises(ValueError, match="`SACSampler` expected a study with one objective, got"):
        study.ask({"x": FloatDistribution(0, 1)})
