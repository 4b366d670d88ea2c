"""Long curves made shorter."""

import math

from overparam._curves import extremes


def test_a_stretch_keeps_its_spike_beside_what_is_no_number():
    values = [1.0] * 1000
    values[500:504] = [math.nan, None, 7.0, math.inf]
    values[700:720] = [math.nan] * 20
    kept = extremes(values, 200)
    assert len(kept) <= 200
    assert kept == sorted(set(kept))
    assert 503 in kept, "infinity is the largest"
    assert any(math.isnan(values[i]) for i in kept if values[i] is not None)
    assert 502 in extremes([1.0 if v is not None and v > 7 else v for v in values], 200)


def test_what_is_short_is_kept_whole():
    assert extremes([math.nan, 2.0, None], 3) == [0, 1, 2]
    assert extremes([], 3) == []
