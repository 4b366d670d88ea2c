import numpy as np
import pandas as pd
import pytest

from overparam.datasets.targets import read_target


def read(values, task=None):
    return read_target(pd.Series(values, name="price"), "load_file('a.csv')", task)


@pytest.mark.parametrize(
    ("values", "task", "class_names"),
    [
        (["b", "a", "b", "a", "b", "a"], "classification", ("a", "b")),
        ([True, False] * 3, "classification", ("False", "True")),
        (pd.Categorical(["y", "x"] * 3), "classification", ("x", "y")),
        ([3, 7] * 3, "classification", ("3", "7")),
        ([1.0, 2.0] * 3, "classification", ("1", "2")),
        (list(range(25)) * 3, "classification", tuple(map(str, range(25)))),
        ([10 * value for value in range(25)] * 3, "regression", ()),
        ([0.5, 1.5] * 3, "regression", ()),
        (np.linspace(0, 1, 30), "regression", ()),
        ([1_000_001, 1_000_002] * 3, "classification", ("1000001", "1000002")),
    ],
    ids=str,
)
def test_the_task_follows_the_stated_rule(values, task, class_names):
    target = read(values)
    assert target.task == task
    assert target.class_names == class_names


def test_codes_point_at_the_names():
    target = read(["b", "a", "b", "b", "a", "a"])
    assert [target.class_names[code] for code in target.values] == ["b", "a", "b", "b", "a", "a"]
    numbers = read([10, 2, 2, 10, 2, 10])
    assert numbers.class_names == ("2", "10")
    assert numbers.values.tolist() == [1, 0, 0, 1, 0, 1]


@pytest.mark.parametrize(
    ("values", "class_names", "class_type"),
    [
        (["Yes ", "yes", "no"] * 3, ("no", "yes"), "words"),
        (["5", "7"] * 3, ("5", "7"), "numbers"),
        ([5.0, 7.0] * 3, ("5", "7"), "numbers"),
        (["TRUE", "FALSE"] * 3, ("FALSE", "TRUE"), "booleans"),
        ([True, False] * 3, ("False", "True"), "booleans"),
        (["low", "Low", "high"] * 3, ("high", "low"), "words"),
        (["01", "02"] * 3, ("01", "02"), "words"),
    ],
)
def test_classes_are_what_their_values_mean(values, class_names, class_type):
    target = read(values)
    assert {name.casefold() for name in target.class_names} == {n.casefold() for n in class_names}
    assert target.class_type == class_type


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        (["$1,200.50", "$3", "-$7"], [1200.5, 3, -7]),
        (["1,5 kg", "2,25 kg", "3 kg"], [1.5, 2.25, 3]),
        (["12.5%", "3%", "100%"], [12.5, 3, 100]),
        (["1970-01-02", "1970-01-03", "1970-02-01"], [1, 2, 31]),
    ],
)
def test_a_quantity_in_text_is_one(values, numbers):
    target = read(values, "regression")
    assert target.values.tolist() == numbers


def test_the_task_can_be_given():
    assert read([3, 7] * 3, "regression").task == "regression"
    assert read([0.5, 1.5] * 3, "classification").class_names == ("0.5", "1.5")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([np.nan] * 6, "values in the target 'price', got only missing ones"),
        ([1.0, np.nan, 2.0, 1.0, 2.0, 1.0], "1 of 6 missing"),
        (["a", None, "b"] * 3, "3 of 9 missing"),
        ([1.0, np.inf, 2.0], "finite numbers in the target 'price'"),
        ([4] * 6, "at least two different values in the target 'price', got 4 in every row"),
        (["a"] * 6, "got a in every row"),
        ([f"row {i}" for i in range(30)], "30 classes in 30 rows"),
        (list(range(30)), "30 classes in 30 rows"),
        (list(range(1, 31)), "a number of the row: every whole number from 1 to 30 once"),
    ],
    ids=str,
)
def test_a_target_nothing_can_be_learned_from_is_refused(values, message):
    with pytest.raises(ValueError, match=message) as caught:
        read(values)
    assert str(caught.value).startswith("`load_file('a.csv')` expected ")


def test_names_are_no_quantity():
    with pytest.raises(ValueError, match="numbers in the target 'price' of a regression"):
        read(["a", "b"] * 3, "regression")
