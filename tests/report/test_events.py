from overparam.report.events import event_table, settled_events


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
    assert row == [3, "bad batch", 0, "50\xa0%", "2 → ?", "0, 1, 2 and 5 more"]


def test_of_many_spikes_the_first_are_shown():
    table = event_table([{"step": step} for step in range(60)])
    assert (len(table.rows), table.left_out) == (50, 10)


def test_cause_and_outcome_stand_apart_and_places_have_names():
    event = {"step": 3, "kind": "catapult", "cause": "rate raised", "outcome": "catapult"}
    event |= {"steps_to_recover": 9, "layers": [f"body.{i}" for i in range(6)], "groups": ["head"]}
    table = event_table([event])
    assert table.columns == ["step", "cause", "outcome", "began in", "steps to recover"]
    places = "body.0, body.1, body.2, body.3 and 2 more; group head"
    assert table.rows == [[3, "rate raised", "catapult", places, 9]]


def test_what_rests_on_a_measurement_that_did_not_settle_is_not_told():
    event = {"step": 9, "kind": "bad batch", "sharpness_before": 173.0, "sharpness_after": 330.0}
    document = {
        "events": [{**event, "ratio_before": 0.5}],
        "series": {
            "sharpness": {"step": [3, 12], "value": [173.0, 330.0]},
            "sharpness_residual": {"step": [3, 12], "value": [0.9, 0.1]},
        },
    }
    table = event_table(settled_events(document))
    assert table.columns == ["step", "cause", "steps to recover", "sharpness"]
    assert table.rows[0][-1] == "? → 330"
    del document["series"]["sharpness_residual"]
    assert settled_events(document) == document["events"]
