"""K-means with a divergence: the labels of the formula, the contract of scikit-learn, bad input."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from overparam.clustering import (
    BregmanKMeans,
    BregmanMixture,
    MiniBatchBregmanKMeans,
    SphericalKMeans,
    k_means,
    named_divergence,
)
from overparam.clustering import _lifted as lifted
from overparam.clustering._gemm import Products
from overparam.clustering._rows import Rows
from overparam.clustering._running import RunningSums

DRAW = np.random.default_rng(0)
SPREADS = np.array([1e-3, 1.0, 5.0, 1e4])
GAMMA = DRAW.gamma(4, 1, size=(900, 4)) * SPREADS * DRAW.choice([1, 4, 16], size=(900, 1))
COUNTS = DRAW.poisson(DRAW.choice([1, 5, 20], size=(900, 1)), size=(900, 4)).astype(float)
ANSWERS = (DRAW.random((900, 12)) < DRAW.choice([0.1, 0.5, 0.9], size=(900, 1))).astype(float)
NORMAL = DRAW.normal(size=(900, 4)) + DRAW.choice([-3, 0, 4], size=(900, 1))
TABLES = {
    "euclidean": NORMAL,
    "kl": COUNTS,
    "itakura_saito": GAMMA,
    "logistic": ANSWERS,
    "exponential": NORMAL / 3,
    ("power", 1.5): COUNTS,
    ("mahalanobis", tuple(map(tuple, np.diag([1.0, 2, 3, 4])))): NORMAL,
}


@parametrize_with_checks([
    BregmanKMeans(),
    MiniBatchBregmanKMeans(),
    SphericalKMeans(),
    BregmanMixture(),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learns_contract(estimator, check):
    check(estimator)


def direct(model, x):
    """All divergences from the definition."""
    divergence = model.divergence_
    columns = []
    for centre in model.cluster_centers_:
        c = np.broadcast_to(centre, x.shape)
        columns.append(divergence(x, c) if model.side == "right" else divergence(c, x))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("algorithm", ["lifted", "gemm"])
@pytest.mark.parametrize("name", TABLES, ids=str)
def test_labels_are_those_of_the_formula(name, algorithm, side):
    x = TABLES[name]
    if side == "left":  # strictly inside, where slopes are finite
        x = np.clip(x, 0.01, 0.99) if name == "logistic" else x + (0.5 if name == "kl" else 0)
    model = BregmanKMeans(7, divergence=name, algorithm=algorithm, side=side).fit(x)
    found = direct(model, x)
    np.testing.assert_array_equal(model.labels_, found.argmin(1))
    np.testing.assert_array_equal(model.labels_, model.predict(x))
    near = found < np.inf
    size = found[near].max()
    np.testing.assert_allclose(model.transform(x)[near], found[near], atol=1e-12 * size)
    assert np.isinf(model.transform(x)[~near]).all()
    assert model.inertia_ == pytest.approx(found.min(1).sum(), rel=1e-12)
    assert model.score(x) == pytest.approx(-model.inertia_, rel=1e-12)


@pytest.mark.parametrize("name", TABLES, ids=str)
def test_the_inertia_never_rises_and_centres_are_means(name):
    x = TABLES[name]
    before = np.inf
    for n_iter in (1, 2, 3, 5, 9):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = BregmanKMeans(7, divergence=name, max_iter=n_iter, tol=0).fit(x)
        assert model.inertia_ <= before * (1 + 1e-12)
        before = model.inertia_
    model = BregmanKMeans(7, divergence=name, tol=0).fit(x)
    means = np.stack([x[model.labels_ == j].mean(0) for j in range(7)])
    np.testing.assert_allclose(model.cluster_centers_, means, rtol=1e-12, atol=1e-12)


def test_centres_on_the_left_are_geometric_and_harmonic_means():
    x = GAMMA
    kl = BregmanKMeans(4, divergence="kl", side="left", tol=0).fit(x)
    geometric = np.stack([np.exp(np.log(x[kl.labels_ == j]).mean(0)) for j in range(4)])
    np.testing.assert_allclose(kl.cluster_centers_, geometric, rtol=1e-10)
    model = BregmanKMeans(4, divergence="itakura_saito", side="left", tol=0).fit(x)
    harmonic = np.stack([1 / (1 / x[model.labels_ == j]).mean(0) for j in range(4)])
    np.testing.assert_allclose(model.cluster_centers_, harmonic, rtol=1e-10)


@pytest.mark.parametrize("algorithm", ["lifted", "gemm"])
def test_squared_distances_are_k_means_of_scikit_learn(algorithm):
    start = NORMAL[::130][:6]
    theirs = KMeans(6, init=start, n_init=1).fit(NORMAL)
    ours = BregmanKMeans(6, init=start, algorithm=algorithm).fit(NORMAL)
    np.testing.assert_array_equal(ours.labels_, theirs.labels_)
    np.testing.assert_allclose(ours.cluster_centers_, theirs.cluster_centers_, rtol=1e-12)
    assert ours.n_iter_ == theirs.n_iter_
    assert ours.inertia_ == pytest.approx(theirs.inertia_, rel=1e-12)


def test_a_scale_changes_nothing_for_itakura_saito():
    plain = BregmanKMeans(5, divergence="itakura_saito").fit(GAMMA)
    scaled = BregmanKMeans(5, divergence="itakura_saito", init=plain.cluster_centers_ / SPREADS)
    np.testing.assert_array_equal(scaled.fit(GAMMA / SPREADS).labels_, plain.labels_)


@pytest.mark.parametrize("model", [
    BregmanKMeans(5, divergence="kl"),
    BregmanKMeans(5, divergence="kl", smoothing=2.0),
    BregmanKMeans(5),
    BregmanKMeans(5, divergence="exponential"),
    BregmanKMeans(5, divergence=("mahalanobis", np.diag([1.0, 2, 3, 4]))),
    MiniBatchBregmanKMeans(5, divergence="kl", smoothing=1.0, batch_size=200),
    SphericalKMeans(5),
], ids=str)  # fmt: skip
@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csc_array])
def test_sparse_rows_are_as_dense_ones(model, make):
    x = COUNTS / 10
    dense, thin = clone(model).fit(x), clone(model).fit(make(x))
    np.testing.assert_array_equal(thin.labels_, dense.labels_)
    np.testing.assert_allclose(thin.cluster_centers_, dense.cluster_centers_, atol=1e-10)
    np.testing.assert_allclose(thin.transform(make(x)), dense.transform(x), atol=1e-10)
    assert thin.inertia_ == pytest.approx(dense.inertia_, rel=1e-9)


def test_a_weight_is_so_many_rows():
    weights = DRAW.integers(0, 4, size=len(GAMMA))
    for divergence, x in (("kl", GAMMA), ("euclidean", NORMAL)):
        one = BregmanKMeans(5, divergence=divergence).fit(x, sample_weight=weights)
        other = BregmanKMeans(5, divergence=divergence).fit(np.repeat(x, weights, axis=0))
        np.testing.assert_allclose(one.cluster_centers_, other.cluster_centers_, rtol=1e-10)
        assert one.inertia_ == pytest.approx(other.inertia_, rel=1e-12)


def test_smoothing_is_rows_at_the_mean():
    model = BregmanKMeans(4, divergence="logistic", smoothing=3.0, tol=0).fit(ANSWERS)
    mean = ANSWERS.mean(0)
    for j in range(4):
        own = ANSWERS[model.labels_ == j]
        expected = (own.sum(0) + 3 * mean) / (len(own) + 3)
        np.testing.assert_allclose(model.cluster_centers_[j], expected, rtol=1e-12)
    assert np.isfinite(model.transform(ANSWERS)).all()


def test_an_empty_cluster_takes_the_row_furthest_by_the_divergence():
    x = np.array([1.0, 1.1, 0.9, 100.0, 101.0, 130.0, 1e-3])[:, None]
    # By squared distances that is 130; by Itakura-Saito it is 0.001.
    start = np.array([[1.0], [100.0], [1e9]])
    model = BregmanKMeans(3, divergence="itakura_saito", init=start, max_iter=1).fit(x)
    assert model.cluster_centers_[2, 0] == pytest.approx(1e-3)
    gemm = BregmanKMeans(
        3, divergence="itakura_saito", init=start, max_iter=1, algorithm="gemm"
    ).fit(x)
    np.testing.assert_allclose(gemm.cluster_centers_, model.cluster_centers_)


def test_fewer_different_rows_than_clusters_are_said():
    x = np.repeat([[1.0, 2.0], [3.0, 4.0]], 5, axis=0)
    with pytest.warns(ConvergenceWarning, match="found 2 clusters and not 4"):
        model = BregmanKMeans(4, divergence="kl").fit(x)
    assert model.inertia_ == 0
    assert np.isfinite(model.cluster_centers_).all()


def test_single_precision_over_nine_decades_is_right():
    x = 10 ** DRAW.uniform(-4.5, 4.5, size=(1500, 6))
    x = x.astype(np.float32)
    model = BregmanKMeans(9, divergence="itakura_saito").fit(x)
    exact = BregmanKMeans(9, divergence="itakura_saito", algorithm="gemm").fit(x)
    assert model.inertia_ == pytest.approx(exact.inertia_, rel=1e-6)
    found = direct(model, x.astype(float))
    np.testing.assert_array_equal(model.labels_, found.argmin(1))


def test_single_and_double_precision_agree():
    for name in ("kl", "euclidean", "itakura_saito"):
        x = TABLES[name].astype(np.float32)
        one = BregmanKMeans(5, divergence=name).fit(x)
        two = BregmanKMeans(5, divergence=name).fit(x.astype(float))
        np.testing.assert_array_equal(one.labels_, two.labels_)
        np.testing.assert_allclose(one.cluster_centers_, two.cluster_centers_, rtol=1e-12)


def test_it_does_without_the_compiled_kernel(monkeypatch):
    with_it = BregmanKMeans(6, divergence="kl").fit(COUNTS)
    monkeypatch.setattr("overparam.clustering.k_means.kernel", lambda: None)
    without = BregmanKMeans(6, divergence="kl").fit(COUNTS)
    np.testing.assert_array_equal(without.labels_, with_it.labels_)


def test_a_kernel_that_changed_is_not_used(monkeypatch):
    assert lifted.kernel() is not None
    for changed in (lambda *args: None, lambda: None):
        lifted.kernel.cache_clear()
        monkeypatch.setattr("sklearn.cluster._k_means_lloyd.lloyd_iter_chunked_dense", changed)
        assert lifted.kernel() is None
    monkeypatch.undo()
    lifted.kernel.cache_clear()


def test_a_device_gives_the_same(device):
    on_it = BregmanKMeans(6, divergence="itakura_saito", device=str(device)).fit(GAMMA)
    here = BregmanKMeans(6, divergence="itakura_saito").fit(GAMMA)
    np.testing.assert_array_equal(on_it.labels_, here.labels_)
    np.testing.assert_allclose(on_it.cluster_centers_, here.cluster_centers_, rtol=1e-12)


def test_starts():
    best = BregmanKMeans(6, divergence="kl", n_init=5).fit(COUNTS)
    first = BregmanKMeans(6, divergence="kl").fit(COUNTS)
    assert best.inertia_ <= first.inertia_
    random = BregmanKMeans(6, divergence="kl", init="random").fit(COUNTS)
    assert random.inertia_ < 1.5 * best.inertia_
    rows = BregmanKMeans(6, divergence="kl", init=lambda x, k, random_state: x[:k] + 0.1)
    assert rows.fit(COUNTS).inertia_ < 2 * best.inertia_
    again = BregmanKMeans(6, divergence="kl", n_init=5).fit(COUNTS)
    np.testing.assert_array_equal(again.labels_, best.labels_)


NEGATIVE, ZERO, ABOVE = COUNTS - 1, COUNTS, COUNTS / 10
BAD = {
    "kl of negative numbers": ({"divergence": "kl"}, NEGATIVE, r"\[0, ∞\).*-1 in row"),
    "itakura_saito of 0": ({"divergence": "itakura_saito"}, ZERO, r"\(0, ∞\).*0 in row(.|\n)*add"),
    "logistic above 1": ({"divergence": "logistic"}, ABOVE, r"\[0, 1\]"),
    "logistic just above 1": (
        {"divergence": "logistic"}, np.full((5, 4), 1 + 1e-7), r"\[0, 1\].* 1\.0000001 in row 0"
    ),
    "power of negative numbers": ({"divergence": ("power", 3)}, NEGATIVE, r"\[0, ∞\)"),
    "a divergence nobody knows": ({"divergence": "manhattan"}, COUNTS, "divergence"),
    "an exponential overflow": ({"divergence": "exponential"}, COUNTS + 800, "finite number"),
    "squares that overflow": ({}, COUNTS * 1e200, "finite number"),
    "NaN": ({}, COUNTS * np.nan, "NaN"),
    "infinity": ({}, COUNTS + np.inf, "infinity"),
    "too few rows": ({}, COUNTS[:3], "at most as many clusters as rows, 3"),
    "one axis": ({}, COUNTS[0], "2D"),
    "slopes that are infinite": ({"divergence": "kl", "side": "left"}, COUNTS, "finite slope"),
    "no side": ({"side": "top"}, COUNTS, "side"),
    "start of another shape": ({"init": COUNTS[:3]}, COUNTS, r"centres of shape \(5, 4\)"),
    "start outside": ({"divergence": "kl", "init": NEGATIVE[:5]}, COUNTS, r"init=.*\[0, ∞\)"),
    "sparse on the left": ({"side": "left"}, sparse.csr_array(COUNTS), "[Ss]parse"),
    "sparse itakura_saito": (
        {"divergence": "itakura_saito"}, sparse.csr_array(COUNTS + 1), r"\(0, ∞\)"
    ),
    "sparse and lifted": ({"algorithm": "lifted"}, sparse.csr_array(COUNTS), "for sparse rows"),
    "no device": ({"device": "toaster"}, COUNTS, "a device of this machine"),
    "negative smoothing": ({"smoothing": -1.0}, COUNTS, "smoothing"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_clear_error_in_fit(case):
    options, x, words = BAD[case]
    with pytest.raises((ValueError, TypeError), match=words):
        BregmanKMeans(5, **options).fit(x)


@pytest.mark.parametrize("make", [
    lambda: BregmanKMeans(5, divergence="itakura_saito"),
    lambda: MiniBatchBregmanKMeans(5, divergence="itakura_saito"),
    lambda: BregmanMixture(5, divergence="itakura_saito"),
])  # fmt: skip
@pytest.mark.parametrize("method", ["predict", "transform", "score", "score_samples"])
def test_and_after_it(make, method):
    model = make().fit(COUNTS + 1)
    if not hasattr(model, method):
        pytest.skip("it has no such method")
    for bad, words in (
        (COUNTS, r"\(0, ∞\)"),
        (COUNTS[:, :3], "features"),
        (COUNTS * np.nan, "NaN"),
    ):
        with pytest.raises(ValueError, match=words):
            getattr(model, method)(bad)


def test_a_failed_fit_leaves_the_last():
    model = BregmanKMeans(3, divergence="kl").fit(COUNTS)
    before = model.labels_
    with pytest.raises(ValueError, match="expected"):
        model.fit(NEGATIVE)
    assert model.labels_ is before
    for bad in (-np.ones(len(COUNTS)), np.zeros(len(COUNTS))):
        with pytest.raises(ValueError, match=r"sample_weight|[Nn]egative|zero"):
            model.fit(COUNTS, sample_weight=bad)


def test_rows_infinitely_far_are_told_so():
    model = BregmanKMeans(2, divergence="kl", init=[[0.0, 5.0], [5.0, 0.0]])
    model.fit(np.array([[0.0, 4.0], [0.0, 6.0], [4.0, 0.0], [6.0, 0.0]]))
    x = np.array([[1.0, 5.0], [5.0, 1.0], [0.0, 5.0]])
    assert np.isinf(model.transform(x)[:2]).all()
    np.testing.assert_array_equal(model.predict(x), [0, 1, 0])
    assert model.score(x) == -np.inf
    assert named_divergence("kl")(x[2:], model.cluster_centers_[:1])[0] == 0


def test_nothing_is_taken_from_the_generator_of_numpy():
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    BregmanKMeans(3).fit(NORMAL)
    MiniBatchBregmanKMeans(3).fit(NORMAL)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


@pytest.mark.parametrize("weighted", [False, True])
def test_sums_that_are_followed_are_those_formed_whole(weighted):
    draw = np.random.default_rng(1)
    n, d, k = 640, 3, 5
    spreads = np.array([1.0, 1e-6, 1e6])
    x = draw.normal(size=(n, d)) * spreads
    x[7, 0] = 1e9  # its leaving would leave its rounding
    weights = 10 ** draw.uniform(-9, 0, size=n) if weighted else np.ones(n)
    rows = Rows(x, weights)
    middle = np.zeros(d)
    running = RunningSums(rows, middle, spreads)
    exact = Products(rows, middle)
    labels = draw.integers(k, size=n).astype(np.int32)
    running.restart(exact.sums(labels, k))
    followed = 0
    for turn in range(60):
        labels = labels.copy()
        if turn % 3:
            labels[draw.choice(n, 20, replace=False)] = draw.integers(k, size=20)
        else:  # a cluster is emptied by and by
            labels[np.flatnonzero(labels == 0)[:30]] = 1
        step, whole = running.follow(labels), exact.sums(labels, k)
        if step is None:
            running.restart(whole)
            continue
        followed += 1
        left = whole.weights[:, None]
        # In 64 steps at most 40 rows each come or go; each rounds by half of ε times what the sum
        # is: that of now, or what left, 64 spreads of at most twice the weight that is left.
        bound = 64 * 40 * np.finfo(float).eps * (64 * spreads + np.abs(whole.sums) / left)
        assert (np.abs(step.sums - whole.sums) / left <= bound).all()
        np.testing.assert_allclose(step.weights, whole.weights, rtol=1e-12)
    assert followed > 20


@pytest.mark.parametrize("single", [False, True])
def test_following_changes_neither_labels_nor_the_number_of_iterations(single, monkeypatch):
    x = np.random.default_rng(2).gamma(2, 1, size=(3000, 3)).astype(np.float32 if single else float)
    model = BregmanKMeans(12, divergence="itakura_saito", tol=0, max_iter=1000)
    one = clone(model).fit(x)
    followed = []
    follow = RunningSums.follow
    monkeypatch.setattr(
        RunningSums, "follow", lambda self, labels: followed.append(follow(self, labels))
    )
    whole = clone(model).fit(x)
    assert sum(step is not None for step in followed) > 5
    np.testing.assert_array_equal(one.labels_, whole.labels_)
    assert one.n_iter_ == whole.n_iter_
    np.testing.assert_allclose(one.cluster_centers_, whole.cluster_centers_, rtol=1e-12)


def test_products_start_no_threads_beside_those_of_the_compiled_step(monkeypatch):
    """Those of a product before the first step would keep a processor busy during it."""
    from threadpoolctl import threadpool_info, threadpool_limits

    def of_products():
        return {part["num_threads"] for part in threadpool_info() if part["user_api"] == "blas"}

    k_means._libraries.cache_clear()  # of those loaded since
    if not of_products():
        pytest.skip("its threads cannot be counted here")
    seen = []
    for owner, name in ((Rows, "mean"), (lifted.Lifted, "step")):
        given = getattr(owner, name)

        def asked(*args, given=given, **options):
            seen.append(of_products())
            return given(*args, **options)

        monkeypatch.setattr(owner, name, asked)
    with threadpool_limits(2, user_api="blas"):
        BregmanKMeans(3, max_iter=2).fit(NORMAL)
        assert len(seen) > 1
        assert all(threads == {1} for threads in seen)
        seen.clear()
        BregmanKMeans(3, max_iter=2, algorithm="gemm").fit(NORMAL)
        assert seen == [of_products()]


@pytest.mark.parametrize("threads", [1, 4])
def test_the_more_threads_form_sums_the_fewer_rows_are_followed(threads):
    x = np.random.default_rng(0).normal(size=(320, 2))
    rows = Rows(x, np.ones(320))
    whole = Products(rows, np.zeros(2)).sums
    labels = (np.arange(320) % 4).astype(np.int32)
    most = 320 // (16 * threads)
    for changed in (most, most + 1):
        other = labels.copy()
        other[:changed] = (other[:changed] + 1) % 4
        running = RunningSums(rows, np.zeros(2), np.ones(2), threads)
        running.restart(whole(labels, 4))
        assert (running.follow(other) is not None) == (changed <= most)
        running.restart(whole(labels, 4))
        running.restart(whole(other, 4))
        assert running.is_calm == (changed <= most)
