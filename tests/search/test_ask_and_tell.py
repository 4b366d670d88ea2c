import numpy as np
import pytest

from overparam.search import SACSearch, SACSettings
from overparam.search.ask_and_tell import CATCH_UP


def run(score, n=20, dimension=2, **settings):
    search = SACSearch(dimension, seed=0, settings=SACSettings(**settings))
    for _ in range(n):
        point = search.ask()
        search.tell(point, score(point))
    return search


def bowl(point):
    return -float(np.square(point - 0.4).sum())


def test_proposals_are_better_than_the_uniform_points_before_them():
    search = run(bowl, n=40, updates=15, hidden=32)
    assert np.mean(search.scores[25:]) > np.mean(search.scores[:10]) + 0.3
    assert np.abs(search.points).max() <= 1


def test_a_monotone_change_of_the_scores_changes_nothing():
    small = {"updates": 2, "hidden": 8}
    plain = run(bowl, **small)
    changed = run(lambda point: float(np.exp(20 * bowl(point)) * 1e6), **small)
    assert (np.array(plain.points) == np.array(changed.points)).all()


def test_the_first_points_are_uniform_and_what_is_told_is_free():
    search = SACSearch(3, n_startup=0, seed=0)
    assert search.ask().shape == (3,)  # of an agent that knows nothing
    search.tell(np.zeros(3), float("nan"))
    search.tell(np.ones(3), float("inf"))
    assert search.ask().shape == (3,)


def test_who_comes_late_catches_up_a_part(monkeypatch):
    steps = []
    search = SACSearch(2, seed=0, settings=SACSettings(updates=3, hidden=4))
    search.ask()
    for _ in range(50):
        search.tell(search.draw.uniform(-1, 1, 2), 0.0)
    monkeypatch.setattr(
        "overparam.search.actor_critic.ActorCritic.learn",
        lambda agent, history, n: steps.append(n),
    )
    search.ask()
    search.ask()  # nothing is new
    search.tell(np.zeros(2), 1.0)
    search.ask()
    assert steps == [3 * CATCH_UP, 3]


@pytest.mark.untyped("settings of another type are refused in words of ours")
@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"dimension": 0}, r"`SACSearch\(dimension=...\)` expected an integer from 1"),
        ({"n_startup": -1}, r"`SACSearch\(n_startup=...\)`"),
        ({"seed": 1.5}, r"`SACSearch\(seed=...\)`"),
        ({"settings": "mixture"}, r"`SACSearch\(settings=...\)` expected a SACSettings"),
    ],
)
def test_wrong_arguments_are_named(wrong, named):
    with pytest.raises((ValueError, TypeError), match=named):
        SACSearch(**{"dimension": 2, **wrong})


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"regularisation": "mixreg"}, "'none' or 'mixture' or 'hierarchical', got 'mixreg'"),
        ({"gamma": 1.0}, r"a number in \[0, 1\), got 1.0"),
        ({"updates": 0}, "an integer ≥ 1, got 0"),
        ({"hidden": 1 << 40}, "an integer from 1 to 4096"),
        ({"mixture_beta": 0.0}, "a finite number > 0"),
        ({"target_entropy": float("nan")}, "a finite number"),
    ],
)
def test_wrong_settings_are_named(wrong, named):
    with pytest.raises(ValueError, match=named):
        SACSettings(**wrong)


@pytest.mark.parametrize(
    ("point", "score"), [([0.0], 1.0), ([0.0, 2.0], 1.0), ([0.0, np.nan], 1.0), ([0.0, 0.0], "1")]
)
def test_what_is_told_must_be_a_point_and_a_number(point, score):
    search = SACSearch(2, seed=0)
    with pytest.raises((ValueError, TypeError), match=r"`SACSearch.tell\("):
        search.tell(point, score)
    assert search.points == []
