"""An object that refuses something, or whose work breaks down, is as it was before."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError
from torch import nn

from overparam import dynamics, kernels, optim
from overparam.errors import NumericalError

DRAW = np.random.default_rng(0)
X, Y = DRAW.normal(size=(12, 3)), DRAW.normal(size=12)
OTHER = DRAW.normal(size=(15, 5))


class Late(ValueError):
    """What a user's own code raises once a fit is under way."""


def late(*_):
    raise Late


class Failing(kernels.RFMRegressor):
    """A leaf that cannot be fitted."""

    def fit(self, X, y, sample_weight=None, *, eval_set=None):
        raise Late


@pytest.mark.parametrize("fitted", [True, False])
@pytest.mark.parametrize("kind", ["RFMRegressor", "IRKMRegressor", "AGOPTreeRegressor"])
def test_a_fit_that_fails_late_leaves_the_estimator_as_it_was(kind, fitted):
    estimator = getattr(kernels, kind)(random_state=0)
    expected = estimator.fit(X, Y).predict(X) if fitted else None
    if not fitted:
        estimator = getattr(kernels, kind)(random_state=0)
    broken = {"estimator": Failing()} if "Tree" in kind else {"callback": late}
    estimator.set_params(**broken)
    with pytest.raises(Late):
        estimator.fit(OTHER, OTHER[:, 0])
    if fitted:
        assert estimator.n_features_in_ == 3
        assert_array_equal(estimator.predict(X), expected)
    else:
        with pytest.raises(NotFittedError):
            estimator.predict(X)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "gradient"])
def test_rows_too_far_away_for_numbers_are_refused(method):
    machine = kernels.RFMClassifier(n_iter=1).fit(X, Y > 0)
    with pytest.raises(NumericalError, match=r"^`\w+\.(predict|gradient)\("):
        getattr(machine, method)(X * 1e300)


def test_a_tree_leaves_numpys_generator_as_it_was():
    before = str(np.random.get_state())  # noqa: NPY002
    trees = [kernels.AGOPTreeRegressor(max_leaf_size=8, min_leaf_size=2) for _ in range(2)]
    first, second = (tree.fit(X, Y).predict(X) for tree in trees)
    assert str(np.random.get_state()) == before  # noqa: NPY002
    assert_array_equal(first, second)


def points(n):
    draw = torch.Generator().manual_seed(0)
    return torch.randn(n, 3, generator=draw, dtype=torch.float64)


@pytest.mark.parametrize("act", ["fit", "partial_fit"])
def test_steps_that_diverge_leave_the_solver_as_it_was(act):
    x = points(20)
    solver = kernels.EigenProSolver(kernels.Laplace(3.0)).fit(x, x, epochs=2)
    dual, drawn = solver.dual.clone(), solver._draw.get_state()
    # The squares of the residual overflow.
    with pytest.raises(NumericalError):
        getattr(solver, act)(x, x * 1e200)
    assert torch.equal(solver.dual, dual)
    assert torch.equal(solver.centres, x)
    assert len(solver.history) == 2
    assert torch.equal(solver._draw.get_state(), drawn)


@pytest.mark.parametrize(
    "bad", [torch.tensor([1.0, torch.nan]), torch.ones(1, 2), torch.ones(3), torch.zeros(0), None]
)
def test_aiming_keeps_no_parameters_that_it_refused(bad):
    monitor = dynamics.AimingMonitor(lambda w: w.square().sum(), steps=range(4))
    monitor.record(0, torch.ones(2))
    with pytest.raises((ValueError, TypeError), match=r"`AimingMonitor\.record\(w=...\)` expected"):
        monitor.record(1, bad)
    assert list(monitor.snapshots) == [0]


def test_no_group_of_mass_moves_where_another_cannot():
    dense, table = nn.Parameter(torch.ones(2)), nn.Embedding(3, 2, sparse=True)
    groups = [{"params": [dense]}, {"params": table.parameters(), "weight_decay": 0.1}]
    optimizer = optim.MaSS(groups, lr=0.1)
    (dense.sum() + table(torch.tensor([1])).sum()).backward()
    with pytest.raises(RuntimeError, match="weight_decay"):
        optimizer.step()
    assert torch.equal(dense, torch.ones(2))


def test_no_tensor_moves_where_another_does_not_fit():
    params, grads = [torch.ones(2), torch.ones(3)], [torch.ones(2), torch.ones(2)]
    buffers = [torch.zeros(2), torch.zeros(3)]
    with pytest.raises(ValueError, match=r"`mass_step\(grads=...\)` expected"):
        optim.mass_step(params, grads, buffers, lr=0.1, alpha=0.1, kappa_t=2.0)
    assert torch.equal(params[0], torch.ones(2))
    assert torch.equal(buffers[0], torch.zeros(2))


def test_a_schedule_stays_where_its_rate_cannot_be_measured():
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.1)
    schedule = dynamics.CatapultScheduler(optimizer, lambda: 0.5, warmup=2)
    schedule.step(1.0)
    before = schedule.state_dict()
    schedule.critical_lr = late
    with pytest.raises(Late):
        schedule.step(0.9)
    assert schedule.state_dict() == before
    with pytest.raises(TypeError, match=r"`CatapultScheduler\.step\(loss=...\)` expected"):
        schedule.step("0.9")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`"):
        schedule.load_state_dict({**before, "proportions": [1.0, 1.0]})
    with pytest.raises(ValueError, match="`"):
        schedule.load_state_dict({"proportions": [1.0], "phase": "finished"})
    assert schedule.state_dict() == before


@pytest.mark.parametrize("loss", ["1", None, 1j, torch.ones(2), torch.ones((), device="meta")])
def test_a_monitor_counts_no_step_that_it_refused(loss):
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = dynamics.Monitor(model, nn.functional.mse_loss, optimizer, probes=[])
    with pytest.raises((ValueError, TypeError), match=r"`Monitor\.step\(loss_value=...\)` exp"):
        monitor.step(loss)
    # A batch that it does not know ends no run: the step counts, and what to pass is said once.
    with pytest.warns(RuntimeWarning, match=r"`Monitor\.step\(batch=...\)` expected a pair"):
        monitor.step(0.5, batch=torch.ones(3))  # type: ignore[arg-type]
    monitor.step(0.25)
    assert monitor.history["loss"].to_list() == [0.5, 0.25]


def test_a_signal_takes_no_epoch_that_it_refused():
    stop = dynamics.CleanPriorityStop(3)
    stop.step(np.arange(40.0))
    before = str(stop.state_dict())
    with pytest.raises(TypeError, match=r"`CleanPriorityStop\.\w+\(random_share=...\)`"):
        stop.step(np.arange(40.0), random_share="much")  # type: ignore[arg-type]
    assert str(stop.state_dict()) == before


def test_a_scorer_goes_on_from_no_broken_state():
    scorer = dynamics.LabelNoiseScorer(5, 3)
    before = str(scorer.state_dict())
    other = dynamics.LabelNoiseScorer(5, 3)
    other.update(torch.eye(3), [0, 1, 2], [0, 1, 2])
    state = other.state_dict()
    del state["stop"]["peak"]
    with pytest.raises(ValueError, match=r"`LabelNoiseScorer\.load_state_dict|`CleanPriorityStop"):
        scorer.load_state_dict(state)
    assert str(scorer.state_dict()) == before
    assert scorer.state_dict()["sums"].sum() == 0
