"""A column of any length in a bounded number of points."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from overparam.watch import column as module
from overparam.watch.column import Column


def filled(points) -> Column:
    column = Column()
    for step, value in points:
        column.extend([step], [value])
    return column


def test_a_short_one_is_kept_whole():
    points = [(step, float(step % 7)) for step in range(0, 900, 2)]
    assert filled(points).points() == points
    assert filled(points).sample() == points


def test_in_a_long_one_every_spike_and_every_gap_shows():
    random.seed(0)
    values: list[float | None] = [1 + random.random() for _ in range(50_000)]
    spikes = {10: 99.0, 31_234: -5.0, 49_998: 50.0}
    for step, value in spikes.items():
        values[step] = value
    values[20_000] = None
    column = Column()
    for start in range(0, 50_000, 101):  # as they come, and so that stretches are crossed
        column.extend(range(start, min(start + 101, 50_000)), values[start : start + 101])
    points = column.points()
    assert len(points) < 2000
    assert spikes.items() <= dict(points).items()
    assert (20_000, None) in points
    assert points[0] == (0, values[0])
    assert points[-1] == column.last == (49_999, values[-1])
    assert points == sorted(points, key=lambda point: point[0])
    assert set(points) <= set(enumerate(values))


def test_a_sample_does_not_look_at_values():
    steps = range(30_000)
    column = Column()
    column.extend(steps, [float(step % 2) for step in steps])
    other = Column()
    other.extend(steps, [1.0 - step % 2 for step in steps])
    assert [step for step, _ in column.sample()] == [step for step, _ in other.sample()]
    assert 250 <= len(column.sample()) <= 500


some_points = st.lists(
    st.tuples(st.integers(0, 300), st.one_of(st.none(), st.integers(0, 5).map(float))),
    max_size=120,
)


@settings(max_examples=150, deadline=None)
@given(points=some_points, cut=st.integers(0, 310), later=some_points)
def test_it_keeps_what_a_list_of_everything_would_show(points, cut, later):
    limit, module._STRETCHES = module._STRETCHES, 8
    try:
        column = filled(points)
        column.points()  # what is settled must not outlive what follows
        column.forget_from(cut)
        before = column.points()
        assert set(before) <= {point for point in points if point[0] < cut}
        if not any(step < cut for step, _ in points):
            assert before == []
        for step, value in later:
            column.extend([step], [value])
            column.points()
        found, everything = column.points(), [*before, *later]
        assert set(found) <= set(everything)
        finite = [value for _, value in everything if value is not None]
        assert [v for _, v in found if v is not None] or not finite
        if finite:
            shown = [value for _, value in found if value is not None]
            assert (min(shown), max(shown)) == (min(finite), max(finite))
        if everything:
            assert found[-1][0] == max(step for step, _ in everything)
        assert len(found) <= 8 * 4 + 1
        assert found == sorted(found, key=lambda point: point[0])
    finally:
        module._STRETCHES = limit


@settings(max_examples=100, deadline=None)
@given(points=some_points)
def test_many_at_once_are_one_after_another(points):
    limit, module._STRETCHES = module._STRETCHES, 8
    try:
        column = Column()
        steps = sorted(step for step, _ in points)
        steps = [step for at, step in enumerate(steps) if at == 0 or step != steps[at - 1]]
        values = [value for _, value in points][: len(steps)]
        single = filled(zip(steps, values, strict=True))
        for start in range(0, len(steps), 20):
            column.extend(steps[start : start + 20], values[start : start + 20])
        assert [value for _, value in column.points()] == [value for _, value in single.points()]
        assert column.sample() == single.sample()
    finally:
        module._STRETCHES = limit


def test_since_when_nothing_was_finite():
    column = filled([(0, 1.0), (1, None), (2, 2.0)])
    assert column.lost_since() is None
    column.extend([3, 4], [None, None])
    assert column.lost_since() == 3
    column.forget_from(4)
    assert column.lost_since() == 3
    column.forget_from(3)
    assert column.lost_since() is None
