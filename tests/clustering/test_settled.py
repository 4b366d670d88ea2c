"""Rows that keep their label: none is said to that would not, and few are not that do."""

import numpy as np
import pytest

from overparam.clustering import BregmanKMeans
from overparam.clustering import _lifted as lifted
from overparam.clustering import _settled as settled


def planes_and_rows(scale, n=1700):
    """Rows of which many lie as near to where two scores are equal as single precision tells."""
    draw = np.random.default_rng(3)
    d, k = len(scale), 7
    slopes, offsets = draw.normal(size=(k, d)) / scale, draw.normal(size=k)
    x = draw.normal(size=(n, d)) * scale
    # Half of the rows are moved to where the two largest scores differ by 1e-12 to 1 only.
    scores = x @ slopes.T - offsets
    second, first = np.argsort(scores, axis=1)[:, -2:].T
    rows = np.arange(n)
    apart = (slopes[first] - slopes[second]) * scale
    gap = (scores[rows, first] - scores[rows, second]) * (1 - 10 ** draw.uniform(-12, 0, size=n))
    nearer = x - gap[:, None] * apart * scale / np.square(apart).sum(1)[:, None]
    return np.where((rows % 2 == 0)[:, None], nearer, x), slopes, offsets


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("scale", [np.ones(3), 2.0 ** np.array([-60, 0, 0, 70])], ids=len)
def test_no_row_is_passed_over_that_changes(scale, threads, monkeypatch):
    monkeypatch.setattr(settled, "_HELD", 2**13)  # several calls a thread
    x, slopes, offsets = planes_and_rows(scale)
    scores = (x.astype(np.longdouble) @ slopes.T.astype(np.longdouble)) - offsets
    best = scores.argmax(1)
    second, first = np.sort(scores, axis=1)[:, -2:].T
    gap = np.asarray(first - second, dtype=float)
    labels = best.astype(np.int32)
    turned = np.random.default_rng(4).choice(len(x), 200, replace=False)
    # Some rows say another one, the second best among them: by how little does not matter.
    labels[turned] = np.argsort(scores, axis=1)[turned, -2]
    found = np.zeros(len(x), dtype=bool)
    found[settled.Settled(x, scale, len(slopes), threads).others(slopes, offsets, labels)] = True
    assert found[labels != best].all()
    # Twice the bound of `others` is enough of a gap not to be looked at.
    steep = np.linalg.norm(slopes * scale, axis=1).max()
    size = np.linalg.norm(x / scale, axis=1) * steep + np.abs(offsets).max()
    far = 2 * (len(scale) + 4) * np.finfo(np.float32).eps * size
    assert not found[(labels == best) & (gap > 2 * far)].any()
    assert (gap < far).sum() > 100  # what is tested lies among the rows


def test_numbers_beyond_single_precision_are_looked_at():
    x, slopes, offsets = planes_and_rows(np.ones(3), n=40)
    x[7], x[9] = 1e200, 1e30
    labels = (x @ slopes.T - offsets).argmax(1).astype(np.int32)
    found = settled.Settled(x, np.ones(3), len(slopes), 1).others(slopes, offsets, labels)
    assert {7, 9} <= set(found)
    tiny = x[10:] * 1e-25
    found = settled.Settled(tiny, np.ones(3), len(slopes), 1).others(
        slopes, offsets * 0, labels[10:]
    )
    assert len(found) == len(tiny)


@pytest.mark.parametrize("name", ["euclidean", "itakura_saito", "kl"])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_fit_is_that_of_products(name, weighted, monkeypatch):
    monkeypatch.setattr(lifted, "_FEWEST_ROWS", 0)
    draw = np.random.default_rng(2)
    x = draw.gamma(2, 1, size=(3000, 3)) * [1, 1e-3, 1e4]
    if name == "kl":
        x = draw.poisson(5, size=(3000, 3)).astype(float)  # many rows twice, and many ties
    weights = draw.integers(0, 4, size=len(x)) if weighted else None
    looked_at = []
    others = settled.Settled.others

    def counted(self, *args):
        places = others(self, *args)
        looked_at.append(len(places))
        return places

    monkeypatch.setattr(settled.Settled, "others", counted)
    options = {"divergence": name, "tol": 0, "init": "random", "max_iter": 1000}
    one = BregmanKMeans(12, **options, n_init=1).fit(x, sample_weight=weights)
    assert sum(n < len(x) / 8 for n in looked_at) > 5
    options["algorithm"] = "gemm"
    plain = BregmanKMeans(12, **options, n_init=1).fit(x, sample_weight=weights)
    np.testing.assert_array_equal(one.labels_, plain.labels_)
    assert one.n_iter_ == plain.n_iter_
    np.testing.assert_allclose(one.cluster_centers_, plain.cluster_centers_, rtol=1e-11)


def test_a_second_start_owes_nothing_to_the_first(monkeypatch):
    monkeypatch.setattr(lifted, "_FEWEST_ROWS", 0)
    x = np.random.default_rng(6).gamma(2, 1, size=(2000, 3))
    options = {"divergence": "itakura_saito", "tol": 0, "init": "random", "n_init": 3}
    one = BregmanKMeans(12, **options).fit(x)
    plain = BregmanKMeans(12, **options, algorithm="gemm").fit(x)
    # Which of two starts that end alike counts is decided by rounding, and so are their names.
    own = one.cluster_centers_[one.labels_]
    np.testing.assert_allclose(own, plain.cluster_centers_[plain.labels_], rtol=1e-11)


def test_rows_of_a_cluster_that_is_there_twice_are_looked_at():
    x, slopes, offsets = planes_and_rows(np.ones(3))
    slopes[4], offsets[4] = slopes[2], offsets[2]
    labels = (x @ slopes.T - offsets).argmax(1).astype(np.int32)
    assert (labels == 2).sum() > 20
    found = settled.Settled(x, np.ones(3), len(slopes), 1).others(slopes, offsets, labels)
    assert set(np.flatnonzero(labels == 2)) <= set(found)


def test_rows_that_single_precision_does_not_tell_apart_go_by_the_kernel(monkeypatch):
    monkeypatch.setattr(lifted, "_FEWEST_ROWS", 0)
    draw = np.random.default_rng(5)
    # Clusters that lie 1e-4 of their distance from the mean apart.
    x = np.concatenate([draw.normal(size=(1500, 2)) * 1e-4 + c for c in (-1, 1)])
    asked = []
    others = settled.Settled.others
    monkeypatch.setattr(
        settled.Settled, "others", lambda *args: asked.append(others(*args)) or asked[-1]
    )
    model = BregmanKMeans(20, tol=0, max_iter=60).fit(x)
    plain = BregmanKMeans(20, tol=0, max_iter=60, algorithm="gemm").fit(x)
    np.testing.assert_array_equal(model.labels_, plain.labels_)
    assert model.n_iter_ == plain.n_iter_
    assert 0 < len(asked) <= 1 + model.n_iter_ / 16
