from overparam.report.events import event_table


def test_nobody_looked_is_not_nothing_found():
    assert event_table(None) is None
    assert event_table([]).rows == []


def test_columns_without_a_value_are_left_out():
    table = event_table([{"step": 3, "kind": "catapult"}, {"step": 9, "kind": "catapult"}])
    assert table.columns == ["step", "cause", "steps to recover"]
    assert table.rows == [[3, "catapult", "not recovered"], [9, "catapult", "not recovered"]]


def test_a_spike_says_what_was_measured_around_it():
    event = {"step": 3, "kind": "bad batch", "steps_to_recover": 0, "top_share": 0.5}
    event |= {"sharpness_before": 2.0, "sharpness_after": None, "ids": list(range(8))}
    (row,) = event_table([event]).rows
    assert row == [3, "bad batch", 0, "50\xa0%", "2 → ?", "0, 1, 2, 3, 4, 5 and 2 more"]


def test_of_many_spikes_the_first_are_shown():
    table = event_table([{"step": step} for step in range(60)])
    assert (len(table.rows), table.left_out) == (50, 10)
