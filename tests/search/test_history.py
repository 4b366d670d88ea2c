import numpy as np
import pytest

from overparam.search.history import history_of, ranks

ACTIONS = np.array([[0.1, -0.5], [0.2, 0.5], [-0.9, 0.0]])


def test_states_hold_the_best_the_last_and_the_time():
    history = history_of(ACTIONS, np.array([3.0, 7.0, 5.0]), budget=4, episode_length=2)
    assert history.rewards.tolist() == pytest.approx([-2 / 3, 2 / 3, 0])
    expected = [
        [0, 0, 0, 0],
        [0.1, -0.5, -2 / 3, 0.25],
        [0.2, 0.5, 2 / 3, 0.5],
        [0.2, 0.5, 0, 0.75],
    ]
    np.testing.assert_allclose(history.states, expected)
    assert history.ends.tolist() == [False, True, False]


def test_the_share_of_the_budget_stays_one():
    history = history_of(ACTIONS, np.arange(3.0), budget=2, episode_length=10)
    assert history.states[:, -1].tolist() == [0, 0.5, 1, 1]


def test_nothing_but_the_order_of_the_scores_counts():
    scores = np.array([3.0, -7.0, 5.0])
    first, second = (history_of(ACTIONS, s, 9, 9) for s in (scores, np.exp(scores)))
    assert (first.states == second.states).all()
    assert (first.rewards == second.rewards).all()


def test_what_diverged_is_the_worst_and_nothing_else():
    rewards = history_of(ACTIONS, np.array([np.nan, 1.0, 2.0]), 9, 9).rewards
    assert rewards.tolist() == pytest.approx([-2 / 3, 0, 2 / 3])


def test_equal_scores_share_their_ranks():
    assert ranks(np.array([1.0, 1.0, 1.0, 1.0])).tolist() == [0, 0, 0, 0]
    assert len(ranks(np.array([]))) == 0


def test_before_the_first_trial_there_is_a_state():
    history = history_of(np.empty((0, 3)), np.empty(0), 9, 9)
    assert history.states.tolist() == [[0, 0, 0, 0, 0]]
