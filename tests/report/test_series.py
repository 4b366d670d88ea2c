import random
from statistics import median

import pytest

from overparam.report.series import Series, histogram, ratio, read_series, smoothed, thinned


def document(**series) -> dict:
    return {"series": series}


def test_steps_are_put_in_order_and_gaps_kept():
    entry = {"step": [2, 0, 1], "value": [5.0, 1.0, None]}
    assert read_series(document(loss=entry), "loss") == Series([0, 1, 2], [1.0, None, 5.0])


@pytest.mark.parametrize(
    "entry",
    [None, {}, {"step": [], "value": []}, {"step": [1, 2], "value": [None, None]}],
    ids=["null", "nothing", "empty", "only gaps"],
)
def test_a_series_without_a_number_is_none(entry):
    assert read_series(document(loss=entry), "loss") is None
    assert read_series(document(), "loss") is None


def test_a_setting_holds_until_it_changes():
    series = Series([0, 10, 20], [0.1, 0.05, None])
    assert [series.at(step) for step in (-1, 0, 9, 10, 25)] == [None, 0.1, 0.1, 0.05, 0.05]


def test_a_ratio_leaves_out_what_was_measured_once_or_is_zero():
    above, below = Series([0, 1, 2, 3], [1.0, 6.0, None, 4.0]), Series([1, 2, 3], [3.0, 1.0, 0.0])
    assert ratio(above, below) == Series([1], [2.0])
    assert ratio(above, Series([7], [1.0])) is None


def test_the_running_median_ignores_a_lone_spike():
    values = [1.0] * 20 + [100.0] + [1.0] * 20
    assert smoothed(Series(range(41), values), window=5).values == [1.0] * 41
    drawn = [random.Random(0).gauss(0, 1) for _ in range(9)]
    assert smoothed(Series(range(9), drawn), window=99).values == [median(drawn)] * 9


def test_thinning_keeps_the_ends_of_the_range_of_a_long_series():
    rng = random.Random(0)
    values = [rng.gauss(0, 1) for _ in range(50_000)]
    values[31_415], values[27_182] = 99.0, -99.0
    thin = thinned(Series(range(50_000), values))
    assert len(thin.steps) <= 1000
    assert thin.values[list(thin.steps).index(31_415)] == 99.0
    assert thin.lowest == -99.0
    assert list(thin.steps) == sorted(thin.steps)


def test_thinning_survives_a_long_gap():
    thin = thinned(Series(range(6000), [None] * 5000 + [1.0] * 1000), limit=100)
    assert thin.values[0] is None
    assert thin.last == 1.0


@pytest.mark.parametrize("values", [[3.0] * 4, [0.0], [0.1, 0.2, 0.30000000000000004, -7.0]])
def test_a_histogram_counts_every_value_once(values):
    edges, counts = histogram(values, bins=7)
    assert sum(counts) == len(values)
    assert len(edges) == 8
    assert edges[0] <= min(values)
    assert max(values) <= edges[-1] + 1e-12
