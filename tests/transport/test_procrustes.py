"""Two-sided Procrustes: exact halves, known answers, and what it refuses."""

import numpy as np
import pytest
import torch
from domains_made import views
from scipy.optimize import linear_sum_assignment
from sklearn.utils.estimator_checks import parametrize_with_checks

from overparam.transport import TwoSidedProcrustes, two_sided_wasserstein_procrustes
from overparam.transport.gromov import matched_along
from overparam.transport.scatter import squared_distances

CONSTRAINTS = ("whiten", "orthogonal")


@pytest.fixture(scope="module")
def task():
    return views(0)


def test_squared_distances_are_those_of_pairs():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    explicit = np.square(x[:, None] - y).sum(2)
    np.testing.assert_allclose(squared_distances(x, y), explicit, atol=1e-13)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks([TwoSidedProcrustes()])
def test_it_is_an_estimator(estimator, check):
    check(estimator)


@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_it_finds_the_partners(constraint, task):
    x, y, partners = task
    model = TwoSidedProcrustes(3, constraint=constraint).fit(x, y)
    assert np.mean(model.match() == partners) > 0.9
    assert sorted(model.match()) == list(range(len(y)))  # one to one
    assert model.converged_
    scores = model.transform(x, y)
    assert [part.shape for part in scores] == [(60, 3), (60, 3)]
    np.testing.assert_allclose(model.transform(x), scores[0])
    np.testing.assert_allclose(model.score(x, y), -model.objective_path_[-1], atol=1e-9)


@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_the_objective_never_rises(constraint):
    for seed in range(10):
        draw = np.random.default_rng(seed)
        x, y = draw.normal(size=(25, 5)), draw.normal(size=(30, 4)) ** 3
        found = two_sided_wasserstein_procrustes(x, y, 3, constraint=constraint, init="random")
        assert np.diff(found.objective_path).max(initial=0) <= 1e-9


@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_objective_and_constraint_are_what_is_said(constraint, task):
    x, y, _ = task
    found = two_sided_wasserstein_procrustes(x, y, 2, constraint=constraint, max_iter=3, n_init=1)
    p, q, plan = found.x_rotations, found.y_rotations, found.coupling
    x, y = x - x.mean(0), y - y.mean(0)
    covariances = [x.T @ x / len(x), y.T @ y / len(y)]
    gaps = np.square((x @ p)[:, None] - y @ q).sum(2)
    if constraint == "orthogonal":
        for part in (p, q):
            np.testing.assert_allclose(part.T @ part, np.eye(2), atol=1e-10)
        value = (plan * gaps).sum() - sum(
            np.trace(part.T @ s @ part) for part, s in zip((p, q), covariances, strict=True)
        )
    else:
        value = (plan * gaps).sum()
        for part, s in zip((p, q), covariances, strict=True):
            e = 1e-3 * np.linalg.eigvalsh(s)[-1]
            np.testing.assert_allclose(part.T @ (s + e * np.eye(len(s))) @ part, np.eye(2),
                                       atol=1e-9)  # fmt: skip
            value += e * np.square(part).sum()
    np.testing.assert_allclose(found.objective_path[-1], value, atol=1e-9)
    best = (p * (x.T @ plan @ y @ q)).sum() / np.square(x @ p).sum() * len(x)
    np.testing.assert_allclose(found.scale, best)


def test_with_equal_columns_it_is_procrustes_of_one_side():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(40, 4)) * [4, 3, 2, 1]
    turn = np.linalg.qr(draw.normal(size=(4, 4)))[0]
    y = (x @ turn)[draw.permutation(40)] + 0.3 * draw.normal(size=(40, 4))
    start = np.full((40, 40), 1 / 1600) + np.eye(40) / 400
    two = two_sided_wasserstein_procrustes(x, y, constraint="orthogonal", init=start)
    # The same from the same start, written as its formulas are: R = U Vᵀ and an assignment.
    u, v, plan = x - x.mean(0), y - y.mean(0), start / start.sum()
    for _ in range(60):
        left, _, right = np.linalg.svd(u.T @ plan @ v)
        rotation = left @ right
        rows, columns = linear_sum_assignment(-(u @ rotation) @ v.T)
        plan = np.zeros((40, 40))
        plan[rows, columns] = 1 / 40
    np.testing.assert_allclose(two.coupling, plan, atol=1e-12)
    np.testing.assert_allclose(two.x_rotations @ two.y_rotations.T, rotation, atol=1e-9)


def test_numbers_are_matched_in_order():
    draw = np.random.default_rng(0)
    u, v = draw.normal(size=7), draw.normal(size=5)
    a, b = draw.dirichlet(np.ones(7)), draw.dirichlet(np.ones(5))
    plan = matched_along(u, v, a, b)
    np.testing.assert_allclose(plan.sum(1), a)
    np.testing.assert_allclose(plan.sum(0), b)
    import ot

    cost = np.square(u[:, None] - v)
    np.testing.assert_allclose((plan * cost).sum(), ot.emd2(a, b, cost), atol=1e-12)


def test_rows_without_weight_are_as_if_they_were_not_there(task):
    x, y, _ = task
    weights = np.r_[np.ones(60), np.zeros(5)]
    more = np.concatenate([x, 100 * np.ones((5, 6))])
    found = two_sided_wasserstein_procrustes(more, y, 3, a=weights)
    alone = two_sided_wasserstein_procrustes(x, y, 3)
    np.testing.assert_array_equal(found.coupling[60:], 0)
    np.testing.assert_allclose(found.coupling[:60], alone.coupling, atol=1e-12)


def test_entropy_spreads_the_coupling_and_annealing_ends_where_it_should(task):
    x, y, partners = task
    few = {"n_init": 1, "max_iter": 8}
    exact = two_sided_wasserstein_procrustes(x, y, 3, **few)
    soft = two_sided_wasserstein_procrustes(x, y, 3, reg=0.1, **few)
    cooled = two_sided_wasserstein_procrustes(x, y, 3, reg=0.1, reg_anneal=0.4, **few)
    assert (soft.coupling > 1e-9).sum() > 2 * (exact.coupling > 1e-9).sum()
    np.testing.assert_allclose(soft.coupling.sum(1), 1 / 60, atol=1e-4)
    assert np.mean(cooled.coupling.argmax(1) == partners) > 0.5


def test_a_start_can_be_given(task):
    x, y, partners = task
    truth = np.zeros((60, 60))
    truth[np.arange(60), partners] = 1
    by_coupling = two_sided_wasserstein_procrustes(x, y, 3, init=truth)
    assert np.mean(by_coupling.coupling.argmax(1) == partners) > 0.95
    pair = (by_coupling.x_rotations, by_coupling.y_rotations)
    by_pair = two_sided_wasserstein_procrustes(x, y, 3, init=pair)
    np.testing.assert_allclose(by_pair.coupling, by_coupling.coupling)
    weak = two_sided_wasserstein_procrustes(x, y, 3, init="random", random_state=1)
    assert by_coupling.objective_path[-1] <= weak.objective_path[-1] + 1e-9


def test_many_rows_start_from_what_some_of_them_end_with(monkeypatch):
    from overparam.transport import gromov, procrustes

    x, y, partners = views(0, n=150)
    given, asked = gromov.gromov_couplings, []

    def couplings(u, v, *rest):
        asked.append((len(u), len(v)))
        return given(u, v, *rest)

    monkeypatch.setattr(procrustes, "MANY", 100)
    monkeypatch.setattr(procrustes, "SOME", 60)
    monkeypatch.setattr(procrustes, "gromov_couplings", couplings)
    for constraint in CONSTRAINTS:
        found = two_sided_wasserstein_procrustes(x, y, 3, constraint=constraint)
        assert np.mean(found.coupling.argmax(1) == partners) > 0.9
        assert np.diff(found.objective_path).max(initial=0) <= 1e-9
        again = two_sided_wasserstein_procrustes(x, y, 3, constraint=constraint)
        np.testing.assert_array_equal(again.coupling, found.coupling)
    two_sided_wasserstein_procrustes(x, y[:50], 3)  # what is few is not drawn from
    assert asked == [(60, 60)] * 4 + [(60, 50)]


def test_some_rows_are_drawn_with_their_weights():
    from overparam.transport.views import read_views

    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(40, 2)), draw.normal(size=(30, 3))
    weights = np.ones(40)
    weights[7] = 40.0  # more than half
    part = read_views(x, y, (weights, None), "test").some(10, seed=3)
    assert len(part.x) < 10
    assert part.y.shape == (10, 3)
    np.testing.assert_allclose([part.a.sum(), part.b.sum()], 1)
    np.testing.assert_allclose(part.b, 0.1)
    np.testing.assert_allclose([*(part.a @ part.x), *(part.b @ part.y)], 0, atol=1e-14)
    rows = part.x + part.x_mean
    heavy = np.isclose(rows, x[7]).all(1)
    # Marks stand a tenth apart, and 40 of 79 is five of them and a little.
    np.testing.assert_allclose(part.a[heavy].sum(), 0.5, atol=0.1 + 1e-12)
    assert len(np.unique(part.y, axis=0)) == 10


def test_many_rows_of_which_some_are_all_alike_do_not_break_it(monkeypatch):
    from overparam.transport import procrustes

    monkeypatch.setattr(procrustes, "MANY", 100)
    monkeypatch.setattr(procrustes, "SOME", 5)
    x = np.zeros((120, 3))
    x[:2] = [[1.0, 0, 0], [0, 2.0, 0]]
    found = two_sided_wasserstein_procrustes(x, x[::-1], 2)
    np.testing.assert_allclose(found.coupling.sum(1), 1 / 120)


def test_a_start_of_low_rank_is_better_than_chance(task, monkeypatch):
    from overparam.transport import gromov

    x, y, partners = task
    monkeypatch.setattr(gromov, "RANK", 5)
    found = two_sided_wasserstein_procrustes(x, y, 3, init="lowrank")
    assert np.mean(found.coupling.argmax(1) == partners) > 0.3  # chance is 1/60


def test_tensors_come_back_as_tensors(task):
    x, y, _ = task
    found = two_sided_wasserstein_procrustes(torch.tensor(x), torch.tensor(y), 3)
    assert isinstance(found.coupling, torch.Tensor)
    arrays = two_sided_wasserstein_procrustes(x, y, 3)
    np.testing.assert_allclose(found.coupling.numpy(), arrays.coupling)


def test_directions_beyond_the_rank_do_not_break_it(task):
    x, y, partners = task
    wide = np.hstack([x, x[:, :2], np.ones((60, 1))])
    for eps in (1e-3, 0.0):
        found = two_sided_wasserstein_procrustes(wide, y, 4, eps=eps)
        assert np.isfinite(found.x_rotations).all()
    assert np.mean(found.coupling.argmax(1) == partners) > 0.2


ROWS = np.random.default_rng(0).normal(size=(10, 4))
BAD = {
    "n_components above the columns": ({"n_components": 5}, "from 1 to 3"),
    "no components": ({"n_components": 0}, "from 1 to 3"),
    "constraint": ({"constraint": "none"}, "'whiten' or 'orthogonal'"),
    "reg": ({"reg": -1}, r"reg=\.\.\."),
    "annealing without an end": ({"reg_anneal": 0.5}, "above reg"),
    "eps": ({"eps": np.nan}, r"eps=\.\.\."),
    "max_iter": ({"max_iter": 0}, r"max_iter=\.\.\."),
    "n_init": ({"n_init": 0}, r"n_init=\.\.\."),
    "init by an unknown name": ({"init": "gww"}, "did you mean 'gw'"),
    "a coupling of another shape": ({"init": np.ones((3, 3))}, "a coupling of shape"),
    "a negative coupling": ({"init": -np.ones((10, 10))}, "a coupling of finite numbers ≥ 0"),
    "a pair of other shapes": ({"init": (np.ones((4, 3)), np.ones((9, 3)))}, "pair of arrays"),
    "random_state": ({"random_state": "x"}, r"random_state=\.\.\."),
    "NaN": ({"X": ROWS * np.nan}, "NaN"),
    "rows that are alike": ({"Y": np.ones((10, 3))}, "all alike"),
    "numbers too large to square": ({"X": 1e200 * ROWS}, "absolute value"),
    "one row": ({"X": ROWS[:1]}, "minimum of 2"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_one_error(name):
    changes, words = BAD[name]
    given = {"X": ROWS, "Y": ROWS[:, :3] ** 2, **changes}
    with pytest.raises(ValueError, match=words):
        two_sided_wasserstein_procrustes(**given)
    settings = {k: v for k, v in given.items() if k not in "XY"}
    with pytest.raises(ValueError, match=words):
        TwoSidedProcrustes(**settings).fit(given["X"], given["Y"])


@pytest.mark.parametrize("weights", [np.ones(3), -np.ones(10), np.zeros(10), np.full(10, np.nan)])
def test_bad_weights_get_one_error(weights):
    with pytest.raises(ValueError, match=r"a=\.\.\..*a weight ≥ 0 for each row"):
        two_sided_wasserstein_procrustes(ROWS, ROWS[:, :3], a=weights)


def test_views_of_another_width_are_refused_after_the_fit(task):
    x, y, _ = task
    model = TwoSidedProcrustes(2).fit(x, y)
    for use in (lambda: model.transform(x[:, :2]), lambda: model.score(x[:, :2], y)):
        with pytest.raises(ValueError, match="6 features"):
            use()
    for use in (lambda: model.transform(x, y[:, :2]), lambda: model.score(x, y[:, :2])):
        with pytest.raises(ValueError, match="a table of 4 columns"):
            use()
    with pytest.raises(ValueError, match="NaN"):
        model.transform(np.full((2, 6), np.nan))


def test_columns_of_the_second_view_in_another_order_are_refused(task):
    import pandas as pd

    x, y, _ = task
    frame = pd.DataFrame(y, columns=[*"abcd"])
    model = TwoSidedProcrustes(2, n_init=1, max_iter=2).fit(x, frame)
    np.testing.assert_array_equal(model.transform(x, frame)[1], model.transform(x, y)[1])
    for use in (model.transform, model.score):
        with pytest.raises(ValueError, match=r"y=(.|\n)*'a' in place 0(.|\n)*'d'"):
            use(x, frame[[*"dcba"]])
