import numpy as np
import pytest

from overparam.datasets import Dataset, load, prepare

rng = np.random.default_rng(0)


def table(train, test, levels=None, names=None, y=None):
    train, test = np.array(train, dtype=float), np.array(test, dtype=float)
    d = train.shape[1]
    y_train = np.arange(len(train), dtype=float) if y is None else np.array(y, dtype=float)
    return Dataset(
        "toy",
        train,
        y_train,
        test,
        np.zeros(len(test)),
        "regression",
        "table",
        feature_names=names or tuple(f"c{i}" for i in range(d)),
        levels=levels or ((),) * d,
    )


def test_numbers_are_standardised_by_the_training_part_alone():
    x = rng.normal(3, 5, size=(100, 4))
    first = prepare(table(x, x[:5]))
    other = prepare(table(x, x[:5] + 100))
    np.testing.assert_allclose(first.x_train.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(first.x_train.std(0), 1, atol=1e-6)
    assert np.array_equal(first.x_train, other.x_train)
    np.testing.assert_allclose(other.x_test, first.x_test + 100 / x.std(0), rtol=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e15 / 3, 1e-300, -1e200])
def test_a_constant_column_becomes_zero(value):
    prepared = prepare(table([[value]] * 7, [[value]] * 3))
    assert not prepared.x_train.any()
    assert not prepared.x_test.any()


def test_rounding_is_no_deviation():
    x = np.array([[1.0], [np.nextafter(1.0, 2.0)]] * 5)
    assert abs(prepare(table(x, x)).x_train).max() < 1e-12


@pytest.mark.parametrize("scale", [1e-200, 1e-5, 1.0, 1e200])
def test_the_unit_of_a_column_does_not_matter(scale):
    x = np.array([[1.0], [2.0], [4.0]])
    np.testing.assert_allclose(
        prepare(table(x * scale, x * scale)).x_train, prepare(table(x, x)).x_train, rtol=1e-6
    )


def test_missing_numbers_take_the_training_median():
    prepared = prepare(table([[1], [2], [9], [np.nan]], [[np.nan], [2]]))
    assert prepared.x_train[3] == prepared.x_train[1]
    assert prepared.x_test[0] == prepared.x_test[1] == prepared.x_train[1]


def test_a_column_missing_throughout_training_is_harmless():
    prepared = prepare(table([[np.nan]] * 3, [[5.0], [np.nan]]))
    assert not prepared.x_train.any()
    assert np.isfinite(prepared.x_test).all()


def test_levels_become_indicators():
    data = table(
        [[0, 1.0], [2, 2.0], [np.nan, 3.0], [0, 4.0]],
        [[1, 1.0], [np.nan, 1.0], [2, 1.0]],
        levels=(("f", "m", "x"), ()),
        names=("sex", "age"),
    )
    prepared = prepare(data)
    assert prepared.column_names == ("sex=f", "sex=x", "sex=(missing)", "age")
    assert prepared.x_train[:, :3].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert prepared.x_test[:, :3].tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 0]]


def test_a_gap_in_the_test_part_alone_sets_no_indicator():
    prepared = prepare(table([[0], [1]], [[np.nan]], levels=(("f", "m"),)))
    assert prepared.x_test.tolist() == [[0, 0]]


def test_rare_levels_share_an_indicator():
    codes = np.concatenate([np.arange(100), np.arange(60)])[:, None]
    prepared = prepare(table(codes, codes[:1], levels=(tuple(map(str, range(100))),)))
    assert prepared.x_train.shape == (160, 65)
    assert prepared.column_names[-1] == "c0=(other)"
    assert prepared.x_train[:, -1].sum() == 36
    assert (prepared.x_train.sum(1) == 1).all()


@pytest.mark.parametrize("code", [-1, 0.5, 2])
def test_a_code_without_a_level_is_refused(code):
    with pytest.raises(ValueError, match="codes from 0 to 1 in the categorical column 'c0'"):
        prepare(table([[0], [code]], [[0]], levels=(("f", "m"),)))


def test_names_must_match_the_columns():
    with pytest.raises(ValueError, match="for each of 2 columns, got 1 names"):
        prepare(table([[0, 1]], [[0, 1]], names=("a",)))


def test_targets_can_be_taken_back():
    y = rng.normal(100, 7, size=50)
    prepared = prepare(table(np.zeros((50, 1)), np.zeros((2, 1)), y=y))
    assert prepared.y_train.shape == (50, 1)
    assert prepared.y_train.dtype == np.float32
    back = prepared.target_mean + prepared.target_scale * prepared.y_train
    np.testing.assert_allclose(back[:, 0], y, rtol=1e-6)
    np.testing.assert_allclose(prepared.y_train.std(), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "prepared_shape"),
    [
        ((6, 5), (1, 6, 5)),
        ((6, 5, 3), (3, 6, 5)),
        ((6, 5, 1), (1, 6, 5)),
        ((3, 6, 5), (3, 6, 5)),
    ],
)
def test_images_get_channels_first(shape, prepared_shape):
    x = rng.integers(0, 256, size=(10, *shape), dtype=np.uint8)
    y = np.arange(10) % 2
    prepared = prepare(Dataset("toy", x, y, x, y, "classification", "images", ("a", "b")))
    assert prepared.x_train.shape == (10, *prepared_shape)
    assert prepared.x_train.dtype == np.float32
    assert prepared.x_train.max() <= 1
    first = x[0, 0, 0] if shape != (3, 6, 5) else x[0, :, 0, 0]
    np.testing.assert_allclose(prepared.x_train[0, :, 0, 0], np.ravel(first) / 255, rtol=1e-6)


def test_other_pixels_are_mapped_from_the_training_range():
    prepared = prepare(load("digits"))
    assert (prepared.x_train.min(), prepared.x_train.max()) == (0, 1)
    assert prepared.column_names == ()
    blank = np.full((4, 2, 2), 7.0)
    y = np.array([0, 1, 0, 1])
    constant = prepare(Dataset("toy", blank, y, blank, y, "classification", "images", ("a", "b")))
    assert not constant.x_train.any()


def test_the_data_set_is_left_as_it_was():
    data = load("iris")
    before = data.x_train.copy(), data.y_train.copy()
    prepare(data)
    assert np.array_equal(data.x_train, before[0])
    assert np.array_equal(data.y_train, before[1])


def test_tokens_stay():
    x, y = np.arange(12).reshape(4, 3), np.array([0, 1, 0, 1])
    prepared = prepare(Dataset("toy", x, y, x, y, "classification", "tokens", ("a", "b")))
    assert np.array_equal(prepared.x_train, x)
    assert prepared.x_train.dtype == np.int64
