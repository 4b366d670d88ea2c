import numpy as np
import pytest

from overparam.datasets.dataset import Dataset, Kind, held_out

X, Y = np.zeros((6, 2)), np.array([0, 1, 0, 1, 0, 1])


def make(x_train=X, y_train=Y, x_test=X, y_test=Y, kind: Kind = "table", **more):
    more.setdefault("class_names", ("a", "b"))
    return Dataset("toy", x_train, y_train, x_test, y_test, "classification", kind, **more)


def test_a_sound_data_set_is_accepted():
    assert repr(make()) == (
        "Dataset('toy', classification of table, 6 + 6 examples of shape (2,), 2 classes)"
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"x_train": X[:0], "y_train": Y[:0]}, "at least one of its train examples, got none"),
        ({"y_train": Y[:5]}, "6 inputs and 5 targets"),
        ({"x_test": np.zeros((6, 3))}, r"test inputs of shape \(2,\) each"),
        ({"kind": "images"}, "images with 3 or 4 axes"),
        ({"y_test": Y + 1}, "from 0 to 1, got int64 labels of shape .* from 0 to 2"),
        ({"y_train": Y - 1}, "from -1 to 1"),
        ({"y_train": Y / 2, "y_test": Y / 2}, "one integer label per example"),
        ({"y_train": np.where(Y, np.nan, 1.0)}, "3 of 6 missing or infinite"),
        ({"y_train": np.array(0)}, "a single number as targets"),
    ],
)
def test_an_unsound_data_set_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        make(**wrong)


def test_every_class_gives_a_fifth_to_the_test_part():
    y = np.repeat([0, 1, 2], [50, 20, 5])
    mask = held_out(y, stratified=True, seed=3)
    assert np.bincount(y[mask]).tolist() == [10, 4, 1]


def test_the_split_follows_the_seed_alone():
    y = np.arange(40) % 4
    first, again, other = (held_out(y, stratified=True, seed=seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_classes_of_one_row_stay_in_training_and_some_row_is_always_tested():
    y = np.array([0, 0, 0, 0, 0, 1])
    for seed in range(20):
        mask = held_out(y, stratified=True, seed=seed)
        assert mask.sum() == 1
        assert not mask[5]
    assert held_out(np.arange(6), stratified=True, seed=0).sum() == 1


def test_too_few_rows_to_split_are_refused():
    with pytest.raises(ValueError, match=r"`load_file\(x\)` expected at least 5 rows.* got 4"):
        held_out(np.arange(4), stratified=False, seed=0, where="load_file(x)")
