"""The table of a run."""

import math

from overparam.dynamics.record import Record


def test_an_empty_record_is_an_empty_table():
    assert len(Record().table()) == 0
    assert math.isnan(Record().last("loss"))


def test_rows_are_steps_and_gaps_are_nan():
    record = Record()
    record.add(0, {"loss": 3.0})
    record.add(4, {"loss": 1.0, "sharpness": 7.0})
    table = record.table()
    assert list(table.index) == [0, 1, 2, 3, 4]
    assert table["loss"].isna().sum() == 3
    assert table["sharpness"][4] == 7.0
    assert record.last("sharpness") == 7.0


def test_a_later_number_of_a_step_replaces():
    record = Record()
    record.add(1, {"loss": 3.0})
    record.add(1, {"loss": 2.0})
    assert record.table()["loss"][1] == 2.0


def test_state_goes_on():
    record, copy = Record(), Record()
    record.add(0, {"loss": 3.0})
    copy.load_state_dict(record.state_dict())
    record.add(1, {"loss": 2.0})
    assert len(copy.table()) == 1  # it is a copy
    copy.add(1, {"loss": 2.0})
    assert copy.table().equals(record.table())
