import numpy as np
import pytest

from overparam.search import SACSettings
from overparam.search.replay import draw_batches, levels

REWARDS = np.linspace(-1, 1, 40)[np.random.default_rng(3).permutation(40)]


def drawn(regularisation, steps=400, **rest):
    settings = SACSettings(regularisation=regularisation, batch_size=32, **rest)
    return draw_batches(REWARDS, steps, settings, np.random.default_rng(0))


def test_without_regularisation_nothing_is_mixed():
    batches = drawn("none")
    assert (batches.shares == 1).all()
    assert (batches.partners == np.arange(32)).all()
    assert np.unique(batches.trials).tolist() == list(range(40))


def test_a_mixture_has_each_member_of_the_batch_as_a_partner_once():
    batches = drawn("mixture")
    assert (np.sort(batches.partners, axis=1) == np.arange(32)).all()
    # Beta(b, b) has the variance 1 / (4 (2b + 1)): 1/8 at b = 1/2. 12 800 draws: 5 sd of the mean.
    assert batches.shares.mean() == pytest.approx(0.5, abs=0.016)
    assert batches.shares.var() == pytest.approx(1 / 8, abs=0.006)


def test_in_a_hierarchy_partners_stand_at_least_as_high():
    batches, level = drawn("hierarchical"), levels(REWARDS, 4)
    own = level[batches.trials]
    partners = np.take_along_axis(own, batches.partners, axis=1)
    assert (partners >= own).all()
    assert (partners > own).any()


def test_in_a_hierarchy_a_level_higher_is_replayed_twice_as_often():
    counts = np.bincount(levels(REWARDS, 4)[drawn("hierarchical").trials].ravel().astype(int))
    # 10 trials each: odds 1 : 2 : 4 : 8 out of 12 800; 5 sd of the smallest are 0.011.
    np.testing.assert_allclose(counts / counts.sum(), np.array([1, 2, 4, 8]) / 15, atol=0.022)


def test_levels_split_the_trials_evenly():
    assert np.bincount(levels(REWARDS, 4).astype(int)).tolist() == [10, 10, 10, 10]
    assert levels(REWARDS, 1).max() == 0
    assert levels(np.zeros(1), 4).tolist() == [0]
