"""The tables of settings: every parameter is in one, and what one may not be is named."""

import numpy as np
import pytest

from overparam.kernels import (
    AGOPTreeClassifier,
    AGOPTreeRegressor,
    IRKMClassifier,
    IRKMRegressor,
    KernelEnsembleClassifier,
    KernelEnsembleRegressor,
    RFMClassifier,
    RFMRegressor,
)
from overparam.kernels import _machine as machine
from overparam.kernels import _tree as tree
from overparam.kernels._classes import CLASSIFIER_SETTINGS

X, Y = np.random.default_rng(0).normal(size=(12, 3)), np.arange(12.0)
# Looked at with the table, and by joblib.
ELSEWHERE = {"categorical_features", "n_jobs"}


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (RFMRegressor, machine.SETTINGS | machine.EXPONENTS),
        (RFMClassifier, machine.SETTINGS | machine.EXPONENTS | CLASSIFIER_SETTINGS),
        (IRKMRegressor, machine.SETTINGS),
        (IRKMClassifier, machine.SETTINGS | CLASSIFIER_SETTINGS),
        (KernelEnsembleRegressor, machine.SETTINGS),
        (KernelEnsembleClassifier, machine.SETTINGS | CLASSIFIER_SETTINGS),
        (AGOPTreeRegressor, tree.SETTINGS),
        (AGOPTreeClassifier, tree.SETTINGS),
    ],
)
def test_every_parameter_is_in_the_table_and_its_default_will_do(kind, settings):
    given = kind().get_params(deep=False)
    assert given.keys() - settings.keys() <= ELSEWHERE
    assert [name for name in settings if not hasattr(kind(), name)] == []
    for name, value in given.items():
        if name not in ELSEWHERE:
            settings[name](value, name)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_iter": True}, r"\(n_iter=...\)` expected a number of rounds ≥ 0, got True"),
        ({"n_iter": 2**63}, r"\(n_iter=...\)` expected a number of rounds ≥ 0, got 9223372036854"),
        ({"alpha": 10**400}, r"\(alpha=...\)` expected a number ≥ 0 or 'auto', got 1000"),
        ({"solver": "choleski"}, "did you mean 'cholesky'"),
        ({"solver": None}, "a choice out of auto, cg, cholesky, eigenpro, lstsq, got None"),
        ({"kernel": "laplas"}, "did you mean 'laplace'"),
        ({"kernel": 3}, "a name, a Kernel or a function of two sets of points, got 3"),
        ({"random_state": -1}, r"\(random_state=...\)` expected None, a whole number"),
        ({"kernel": "lpq", "p": "wide"}, r"`RFMRegressor\(p=...\)` expected a positive number"),
        ({"kernel": "lpq", "q": None}, r"`RFMRegressor\(q=...\)` expected a positive number"),
        ({"kernel": "lpq", "p": 1.0, "q": 2.0}, "exponents with 0 < q ≤ p ≤ 2"),
    ],
)
def test_what_a_setting_may_not_be_is_named(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        RFMRegressor(**settings).fit(X, Y)


def test_exponents_matter_to_their_kernel_only():
    odd, plain = (RFMRegressor(n_iter=1, **given).fit(X, Y) for given in ({"p": -1.0}, {}))
    np.testing.assert_array_equal(odd.predict(X + 0.1), plain.predict(X + 0.1))
    other = RFMRegressor(n_iter=1, kernel="lpq", p=1.2, q=1.2).fit(X, Y)
    assert np.abs(other.predict(X + 0.1) - plain.predict(X + 0.1)).max() > 1e-6 * Y.std()
