"""Batches, directions, mixtures."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.mixture import GaussianMixture

from overparam.clustering import (
    BregmanKMeans,
    BregmanMixture,
    MiniBatchBregmanKMeans,
    SphericalKMeans,
    named_divergence,
)

DRAW = np.random.default_rng(0)
MEANS = DRAW.choice([2.0, 20.0, 200.0], size=(3000, 1))
GAMMA = MEANS * DRAW.gamma(8.0, 1 / 8, size=(3000, 2))
COUNTS = DRAW.poisson(MEANS / 2, size=(3000, 2)).astype(float)


@pytest.mark.parametrize("side", ["right", "left"])
def test_batches_come_near_the_whole(side):
    whole = BregmanKMeans(3, divergence="itakura_saito", side=side).fit(GAMMA)
    few = MiniBatchBregmanKMeans(3, divergence="itakura_saito", side=side, batch_size=256)
    few.fit(GAMMA)
    assert few.inertia_ < 1.02 * whole.inertia_
    np.testing.assert_array_equal(few.labels_, few.predict(GAMMA))


def test_a_centre_is_the_mean_of_what_it_was_given():
    model = MiniBatchBregmanKMeans(2, divergence="kl", init=[[3.0, 3.0], [60.0, 60.0]])
    given = [[], []]
    for batch in np.split(COUNTS, 10):
        if hasattr(model, "cluster_centers_"):
            labels = model.predict(batch)
        else:
            start = np.array([[3.0, 3.0], [60.0, 60.0]])
            kl = named_divergence("kl")
            labels = np.stack([kl(batch, c[None]) for c in start]).argmin(0)
        for row, label in zip(batch, labels, strict=True):
            given[label].append(row)
        model.partial_fit(batch)
    means = np.stack([np.mean(rows, axis=0) for rows in given])
    np.testing.assert_allclose(model.cluster_centers_, means, rtol=1e-10)
    np.testing.assert_array_equal(model.counts_, [len(rows) for rows in given])
    assert model.n_steps_ == 10


def test_a_centre_without_rows_starts_anew():
    start = np.array([[2.0, 2.0], [150.0, 150.0], [1e9, 1e9]])
    model = MiniBatchBregmanKMeans(3, divergence="itakura_saito", init=start, batch_size=500)
    assert model.fit(GAMMA).counts_.min() > 0
    assert model.cluster_centers_.max() < 1e4


def test_batches_of_another_kind_are_refused():
    model = MiniBatchBregmanKMeans(3, divergence="kl").partial_fit(COUNTS)
    before = model.cluster_centers_
    for bad, words in ((COUNTS[:, :1], "features"), (COUNTS - 1e3, "expected")):
        with pytest.raises(ValueError, match=words):
            model.partial_fit(bad)
    assert model.cluster_centers_ is before


def test_directions_do_not_know_lengths():
    angles = DRAW.choice([0.0, 1.2, 3.0], size=400) + DRAW.normal(0, 0.1, size=400)
    unit = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    model = SphericalKMeans(3).fit(unit)
    longer = SphericalKMeans(3).fit(unit * 10 ** DRAW.uniform(-200, 150, size=(400, 1)))
    np.testing.assert_array_equal(model.labels_, longer.labels_)
    np.testing.assert_allclose(np.linalg.norm(model.cluster_centers_, axis=1), 1)
    cosines = unit @ model.cluster_centers_.T
    np.testing.assert_array_equal(model.labels_, cosines.argmax(1))
    np.testing.assert_allclose(model.transform(unit), np.maximum(1 - cosines, 0), atol=1e-14)
    assert model.inertia_ == pytest.approx((1 - cosines.max(1)).sum(), rel=1e-9)


def test_rows_without_a_direction_count_for_none():
    x = DRAW.normal(size=(200, 5))
    with_zeros = np.concatenate([x, np.zeros((3, 5))])
    model, plain = SphericalKMeans(4).fit(with_zeros), SphericalKMeans(4).fit(x)
    assert model.inertia_ == pytest.approx(plain.inertia_, rel=1e-12)
    np.testing.assert_array_equal(model.transform(with_zeros)[-1], 1)
    with pytest.raises(ValueError, match="rows with a direction"):
        SphericalKMeans(2).fit(np.zeros((5, 3)))
    with pytest.raises(ValueError, match="centres with a direction"):
        SphericalKMeans(2, init=np.eye(5)[:2] * [[1], [0]]).fit(x)


def test_normal_noise_is_a_gaussian_mixture():
    x = np.concatenate([DRAW.normal(m, 1.5, size=(200, 1)) for m in (-4, 0, 5)])
    ours = BregmanMixture(3, tol=1e-10, max_iter=1000).fit(x)
    start = {"means_init": ours.means_, "weights_init": ours.weights_}
    theirs = GaussianMixture(
        3, covariance_type="tied", tol=1e-10, reg_covar=0, max_iter=1000, **start
    ).fit(x)
    np.testing.assert_allclose(ours.means_, theirs.means_, atol=1e-3)
    assert ours.dispersion_ / 2 == pytest.approx(float(theirs.covariances_[0, 0]), rel=1e-3)
    np.testing.assert_allclose(ours.score_samples(x), theirs.score_samples(x), rtol=1e-3)
    np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), atol=1e-3)
    one = BregmanMixture(dispersion=2 * 1.5**2).fit(x)
    expected = norm.logpdf(x[:, 0], x.mean(), 1.5)
    np.testing.assert_allclose(one.score_samples(x), expected, rtol=1e-10)


@pytest.mark.parametrize("divergence", ["kl", "itakura_saito"])
def test_the_bound_never_falls(divergence):
    x = (COUNTS if divergence == "kl" else GAMMA)[:400]
    bounds = []
    for n_iter in range(1, 8):
        with pytest.warns(UserWarning, match="did not settle"):
            model = BregmanMixture(4, divergence=divergence, max_iter=n_iter, tol=0).fit(x)
        bounds.append(model.lower_bound_)
    assert (np.diff(bounds) >= -1e-9).all()


def test_the_noise_is_told_by_the_likelihood():
    # Of rows held out: normal, gamma and exponential-like noise.
    train, held = GAMMA[::2], GAMMA[1::2]
    scores = {
        name: BregmanMixture(3, divergence=name, random_state=1).fit(train).score(held)
        for name in ("euclidean", "kl", "itakura_saito")
    }
    assert max(scores, key=lambda name: scores[name]) == "itakura_saito"
    fitted = BregmanMixture(3, divergence="itakura_saito").fit(train)
    assert 1 / fitted.dispersion_ == pytest.approx(8, rel=0.1)
    np.testing.assert_allclose(np.sort(fitted.means_[:, 0]), [2, 20, 200], rtol=0.1)


def test_poisson_memberships_are_those_of_bayes():
    model = BregmanMixture(3, divergence="kl", dispersion=1.0).fit(COUNTS)
    from scipy.stats import poisson

    joint = np.log(model.weights_) + poisson.logpmf(COUNTS[:, None], model.means_).sum(2)
    bayes = np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True))
    np.testing.assert_allclose(model.predict_proba(COUNTS), bayes, atol=1e-10)
    with pytest.raises(ValueError, match=r"on its end(.|\n)*lower_bound_"):
        model.score_samples(np.zeros((1, 2)))


def test_equal_rows_have_no_dispersion():
    with pytest.raises(ValueError, match="rows that differ"):
        BregmanMixture(2).fit(np.ones((10, 2)))
    assert BregmanMixture(2, dispersion=1.0).fit(np.ones((10, 2))).means_.shape == (2, 2)
