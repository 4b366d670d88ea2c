"""Divergences: values, tangents, domains, and what is said of one's own."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

from overparam.clustering import BregmanDivergence, BregmanKMeans, named_divergence

DRAW = np.random.default_rng(0)
FORM = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.3], [0.0, 0.3, 3.0]])
NAMES = {
    "euclidean": DRAW.normal(size=(40, 3)),
    "kl": DRAW.gamma(2, 3, size=(40, 3)),
    "itakura_saito": DRAW.gamma(2, 3, size=(40, 3)),
    "logistic": DRAW.uniform(0.01, 0.99, size=(40, 3)),
    "exponential": DRAW.normal(size=(40, 3)),
    ("power", 3.0): DRAW.gamma(2, 3, size=(40, 3)),
    ("power", 1.5): DRAW.gamma(2, 3, size=(40, 3)),
    ("mahalanobis", tuple(map(tuple, FORM))): DRAW.normal(size=(40, 3)),
}
# D(x, c) of single numbers, written out.
WRITTEN = {
    "euclidean": lambda x, c: (x - c) ** 2,
    "kl": lambda x, c: x * np.log(x / c) - x + c,
    "itakura_saito": lambda x, c: x / c - np.log(x / c) - 1,
    "logistic": lambda x, c: x * np.log(x / c) + (1 - x) * np.log((1 - x) / (1 - c)),
    "exponential": lambda x, c: np.exp(x) - np.exp(c) - (x - c) * np.exp(c),
    ("power", 3.0): lambda x, c: x**3 - c**3 - 3 * c**2 * (x - c),
    ("power", 1.5): lambda x, c: x**1.5 - c**1.5 - 1.5 * c**0.5 * (x - c),
}
each = pytest.mark.parametrize("name", NAMES, ids=str)


@each
def test_it_is_what_is_written(name):
    divergence, x = named_divergence(name), NAMES[name]
    y = np.roll(x, 1, axis=0)
    if name in WRITTEN:
        expected = WRITTEN[name](x, y).sum(1)
    else:
        expected = np.einsum("ni,ij,nj->n", x - y, FORM, x - y)
    np.testing.assert_allclose(divergence(x, y), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(divergence(x, x), 0, atol=1e-12)


@each
def test_its_functions_fit_together(name):
    divergence, x = named_divergence(name), NAMES[name]
    divergence.check(x)
    divergence.dual().check(divergence.grad(x))
    again = pickle.loads(pickle.dumps(divergence))
    np.testing.assert_array_equal(again(x, x[:1]), divergence(x, x[:1]))


@each
def test_the_dual_exchanges_the_arguments(name):
    divergence, x = named_divergence(name), NAMES[name]
    y = np.roll(x, 1, axis=0)
    found = divergence.dual()(divergence.grad(x), divergence.grad(y))
    np.testing.assert_allclose(found, divergence(y, x), rtol=1e-8, atol=1e-10)


@each
def test_second_derivatives_are_those_of_differences(name):
    divergence, x = named_divergence(name), NAMES[name]
    without = BregmanDivergence(divergence.phi, divergence.grad, domain=divergence.domain)
    np.testing.assert_allclose(
        without.log_det_hessian(x), divergence.log_det_hessian(x), rtol=1e-5, atol=1e-5
    )


def test_ends_of_the_domain_are_infinitely_far_and_exact():
    kl, logistic = named_divergence("kl"), named_divergence("logistic")
    x, c = np.array([[0.0, 2.0], [1.0, 2.0]]), np.array([[0.0, 2.0]])
    np.testing.assert_array_equal(kl(x, c), [0, np.inf])
    ones = np.array([[1.0, 0.0], [0.5, 0.0], [1.0, 1.0]])
    np.testing.assert_array_equal(logistic(ones, ones[:1]), [0, np.inf, np.inf])
    tangents = kl.tangents(c)
    np.testing.assert_array_equal(tangents.walls, [[1, 0]])
    assert np.isfinite(tangents.slopes).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"grad": lambda x: 2 * x**3}, "grad=.*the slopes of phi"),
        ({"phi": lambda x: -(x**4), "grad": lambda x: -4 * x**3}, "grad=.*rise along every line"),
        ({"phi": lambda x: x**3, "grad": lambda x: 3 * x**2}, "expected"),
        ({"phi": lambda x: 2 * x, "grad": lambda x: 2 + 0 * x}, "strictly convex"),
        ({"phi": lambda x: x.sum()}, "phi=.*an array of shape"),
        ({"grad": lambda x: x[:1]}, "grad=.*an array of shape"),
        ({"phi": np.sqrt, "grad": lambda x: 0.5 / np.sqrt(x)}, "domain=\\(low, high\\)"),
        ({"grad_inv": lambda x: x}, "grad_inv=.*the inverse of grad"),
        ({"hess": lambda x: 6 * x**2}, "hess=.*the derivatives of grad"),
    ],
)
def test_functions_that_do_not_fit_are_named(options, words):
    given = {"phi": lambda x: x**4, "grad": lambda x: 4 * x**3, **options}
    x = np.random.default_rng(1).normal(size=(30, 2))
    with pytest.raises(ValueError, match=words):
        BregmanDivergence(**given).check(x)
    with pytest.raises(ValueError, match=words):  # and where it is used
        BregmanKMeans(3, divergence=BregmanDivergence(**given)).fit(x)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("kll", "did you mean 'kl'"),
        ("power", "a pair, \\('power', its argument\\)"),
        (("power", 1.0), "above 1"),
        (("power", "3"), "above 1"),
        (("kl", 2), "with an argument"),
        (("mahalanobis", -np.eye(2)), "positive definite"),
        (("mahalanobis", np.ones((2, 3))), "positive definite"),
        (3, "a name, a pair"),
    ],
)
def test_other_names_are_refused(name, words):
    with pytest.raises((ValueError, TypeError), match=words):
        named_divergence(name)


@pytest.mark.parametrize(
    "options",
    [{"phi": 3}, {"grad": None}, {"hess": 1}, {"domain": (1, 0)}, {"domain": 3}, {"closed": "all"}],
)
def test_what_is_no_divergence_is_refused(options):
    with pytest.raises((ValueError, TypeError), match="BregmanDivergence"):
        BregmanDivergence(**{"phi": np.exp, "grad": np.exp, **options})


def test_a_divergence_of_ones_own_clusters_as_the_named_one():
    x = NAMES["kl"]
    own = BregmanDivergence(
        lambda x: x * np.log(x) - x, np.log, grad_inv=np.exp, domain=(0, np.inf), name="mine"
    )
    named = BregmanKMeans(4, divergence="kl").fit(x)
    mine = clone(BregmanKMeans(4, divergence=own)).fit(x)
    np.testing.assert_array_equal(mine.labels_, named.labels_)
    whole = BregmanDivergence(lambda x: np.square(x).sum(1), lambda x: 2 * x)  # one value a row
    plain = BregmanKMeans(4).fit(x)
    np.testing.assert_array_equal(BregmanKMeans(4, divergence=whole).fit(x).labels_, plain.labels_)
