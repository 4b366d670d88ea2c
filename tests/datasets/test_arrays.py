import json
import pickle

import numpy as np
import pytest

from overparam.datasets import load_file

X = np.arange(40.0).reshape(20, 2)
Y = np.arange(20) % 2


@pytest.fixture
def saved(tmp_path):
    def save(**arrays):
        path = tmp_path / "toy.npz"
        np.savez_compressed(path, **arrays)
        return path

    return save


def test_arrays_with_a_split_keep_it(saved):
    data = load_file(saved(x_train=X[:15], y_train=Y[:15], x_test=X[15:], y_test=Y[15:]))
    assert np.array_equal(data.x_train, X[:15])
    assert np.array_equal(data.x_test, X[15:])
    assert np.array_equal(data.y_test, Y[15:])
    assert (data.name, data.task, data.kind, data.class_names) == (
        "toy",
        "classification",
        "table",
        ("0", "1"),
    )
    assert data.feature_names == ("x0", "x1")


@pytest.mark.parametrize("key", ["X", "x"])
def test_arrays_without_a_split_get_a_seeded_one(saved, key):
    path = saved(**{key: X, "y": Y})
    data, again, other = (load_file(path, seed=seed) for seed in (0, 0, 1))
    assert (len(data.x_train), len(data.x_test)) == (16, 4)
    assert np.array_equal(data.x_test, again.x_test)
    assert not np.array_equal(data.x_test, other.x_test)
    rows = np.concatenate([data.x_train, data.x_test])
    assert np.array_equal(rows[np.argsort(rows[:, 0])], X)


def test_a_training_part_alone_is_split(saved):
    assert len(load_file(saved(x_train=X, y_train=Y)).x_test) == 4


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, bool])
def test_inputs_keep_their_type(saved, dtype):
    images = np.zeros((20, 4, 4), dtype=dtype)
    data = load_file(saved(X=images, y=Y))
    assert (data.kind, data.x_train.dtype) == ("images", dtype)


def test_published_splits_are_heeded(saved):
    is_test = np.arange(20) >= 17
    assert load_file(saved(X=X, y=Y, is_test=is_test)).x_test[0, 0] == 34
    splits = np.stack([~is_test, np.arange(20) >= 2])
    path = saved(X=X, y=Y, split_is_train=splits)
    assert len(load_file(path, seed=0).x_test) == 3
    assert len(load_file(path, seed=1).x_test) == 2
    assert len(load_file(path, seed=2).x_test) == 3
    parts = np.repeat([0, 1, 2], [10, 6, 4])
    assert len(load_file(saved(X=X, y=Y, split=parts)).x_train) == 16
    assert load_file(saved(X=X, y=Y, split=parts)).x_test[0, 0] == 32


def test_names_of_columns_levels_and_classes_are_kept(saved):
    data = load_file(
        saved(
            X=np.stack([Y, X[:, 0]], axis=1).astype(float),
            y=Y,
            feature_names=np.array(["sex", "age"]),
            categories=np.array([json.dumps(["f", "m"]), ""]),
            class_names=np.array(["no", "yes"]),
            target_name=np.array("smokes"),
        )
    )
    assert data.feature_names == ("sex", "age")
    assert data.levels == (("f", "m"), ())
    assert data.class_names == ("no", "yes")
    assert data.target_name == "smokes"


def test_another_array_can_be_the_target(saved):
    path = saved(X=X, y=Y, price=np.linspace(0, 1, 20))
    data = load_file(path, "price")
    assert (data.task, data.target_name) == ("regression", "price")
    with pytest.raises(ValueError, match="did you mean 'price'"):
        load_file(path, "prices")


def test_several_outputs_are_a_regression(saved):
    data = load_file(saved(X=X, y=X + 1))
    assert (data.task, data.y_train.shape) == ("regression", (16, 2))
    assert load_file(saved(X=X, y=X[:, :1] / 3)).y_train.shape == (16,)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"data": X}, "arrays x_train, y_train, x_test, y_test, or X and y, got arrays data"),
        ({}, "got arrays of no name"),
        ({"x_train": X, "y_train": Y, "x_test": X}, "or X and y, got arrays x_test, x_train"),
        ({"X": X, "y": Y[:19]}, "20 inputs and 19 targets"),
        ({"X": X[:0], "y": Y[:0]}, "at least one of its examples, got none"),
        ({"X": X[:1], "y": np.array([0.5])}, "at least two different values"),
        ({"X": X[:4], "y": X[:4, 0] / 3}, "at least 5 rows"),
        ({"X": np.zeros(20), "y": Y}, r"inputs of shape \(20,\)"),
        ({"X": np.array([["a"]] * 20), "y": Y}, "inputs that are real numbers"),
        ({"X": X * 1j, "y": Y}, "inputs that are real numbers"),
        ({"X": np.where(X > 30, np.inf, X), "y": Y}, "9 infinite and 0 missing"),
        ({"X": np.full((20, 2, 2), np.nan), "y": Y}, "0 infinite and 80 missing"),
        ({"X": X, "y": np.where(Y, np.nan, 1)}, "10 of 20 missing"),
        ({"X": X, "y": np.zeros(20, int)}, "at least two different values"),
        ({"X": X, "y": np.zeros((20, 2))}, "a constant column"),
        ({"X": X, "y": np.eye(20, dtype=int)}, "one label or number per example"),
        ({"X": X, "y": Y * 1j}, "one label or number per example"),
        ({"X": X, "y": Y, "class_names": np.array(["a"])}, "labels from 0 to 1"),
        ({"X": X, "y": 0 * Y, "class_names": np.array(["a", "b"])}, "at least two classes"),
        (
            {"x_train": X, "y_train": Y, "x_test": np.zeros((2, 3)), "y_test": Y[:2]},
            "one shape per example",
        ),
    ],
)
def test_arrays_nothing_can_be_learned_from_are_refused(saved, arrays, message):
    path = saved(**arrays)
    with pytest.raises(ValueError, match=message) as caught:
        load_file(path)
    assert str(caught.value).startswith(f"`load_file({str(path)!r})` expected ")


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('the file ran code')",)


def test_pickled_objects_are_refused_without_being_opened(saved, tmp_path):
    objects = np.empty(20, dtype=object)
    objects[:] = [Bomb() for _ in range(20)]
    with pytest.raises(ValueError, match="holds Python objects"):
        load_file(saved(X=X, y=objects))
    bare = tmp_path / "bare.npz"
    bare.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="NumPy cannot read"):
        load_file(bare)


@pytest.mark.parametrize("keep", [0, 10, 200, -30])
def test_an_archive_cut_short_is_one_error(saved, tmp_path, keep):
    whole = saved(X=np.random.default_rng(0).normal(size=(50, 8)), y=np.arange(50) % 2)
    cut = tmp_path / "cut.npz"
    cut.write_bytes(whole.read_bytes()[:keep])
    with pytest.raises(ValueError, match="NumPy cannot read"):
        load_file(cut)


def test_an_archive_with_flipped_bytes_is_one_error(saved):
    path = saved(X=np.random.default_rng(0).normal(size=(50, 8)), y=np.arange(50) % 2)
    content = bytearray(path.read_bytes())
    content[300:340] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="NumPy cannot read"):
        load_file(path)


def test_a_single_array_is_no_archive(tmp_path):
    path = tmp_path / "one.npz"
    with path.open("wb") as file:
        np.save(file, X)
    with pytest.raises(ValueError, match="NumPy cannot read"):
        load_file(path)
