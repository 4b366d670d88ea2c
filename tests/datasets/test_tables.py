import numpy as np
import pandas as pd
import pytest

from overparam.datasets import load_file

N = 20


def frame(**columns):
    rng = np.random.default_rng(0)
    return pd.DataFrame({"area": rng.normal(size=N), "price": rng.normal(size=N), **columns})


@pytest.fixture
def written(tmp_path):
    def write(table, suffix=".csv"):
        path = tmp_path / f"houses{suffix}"
        if isinstance(table, bytes):
            path.write_bytes(table)
        elif isinstance(table, str):
            path.write_text(table, encoding="utf-8")
        elif suffix == ".csv":
            table.to_csv(path, index=False)
        else:
            table.to_parquet(path)
        return path

    return write


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_numbers_and_names_come_back(written, suffix):
    table = frame(city=["Ulm", None, "Bonn", "Ulm"] * 5, new=[True, False] * 10)
    data = load_file(written(table, suffix), "price")
    assert (data.task, data.kind, data.target_name) == ("regression", "table", "price")
    assert data.feature_names == ("area", "city", "new")
    assert data.levels == ((), ("Bonn", "Ulm"), ())
    x, y = np.concatenate([data.x_train, data.x_test]), np.concatenate([data.y_train, data.y_test])
    order, expected = np.argsort(y), table.sort_values("price")
    np.testing.assert_allclose(x[order, 0], expected["area"], rtol=1e-12)
    cities = [None if np.isnan(code) else data.levels[1][int(code)] for code in x[order, 1]]
    assert cities == [None if pd.isna(city) else city for city in expected["city"]]
    assert x[order, 2].tolist() == expected["new"].tolist()
    assert (len(data.y_train), len(data.y_test)) == (16, 4)


def test_classes_are_split_class_by_class(written):
    data = load_file(written(frame(label=["yes", "no"] * 10)))
    assert (data.class_names, data.target_name) == (("no", "yes"), "label")
    assert np.bincount(data.y_test).tolist() == [2, 2]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_separator_is_seen_in_the_first_line(written, separator):
    text = frame().to_csv(index=False, sep=separator)
    assert load_file(written("\ufeff" + text), "price").feature_names == ("area",)


def test_question_marks_and_blanks_are_missing(written):
    rooms = ["3", "?", "", "NA", "4"] * 4
    data = load_file(written(frame(rooms=rooms)), "price")
    assert np.isnan(np.concatenate([data.x_train, data.x_test])[:, 1]).sum() == 12


def test_dates_are_days(written):
    days = pd.date_range("1970-01-02", periods=N).to_series().reset_index(drop=True)
    data = load_file(written(frame(sold=days), ".parquet"), "price")
    x = np.sort(np.concatenate([data.x_train, data.x_test])[:, 1])
    assert x.tolist() == list(range(1, N + 1))


@pytest.mark.parametrize(
    "column",
    [
        {"notes": [None] * N},
        {"owner": [f"owner {i}" for i in range(N)]},
        {"Unnamed: 0": range(N)},
    ],
    ids=["empty", "text that differs in every row", "numbering of the rows"],
)
def test_columns_that_say_nothing_are_left_out_with_a_warning(written, column):
    path = written(frame(**column))
    with pytest.warns(UserWarning, match=f"left out {next(iter(column))} "):
        data = load_file(path, "price")
    assert data.feature_names == ("area",)


def test_a_category_type_is_read_as_text(written):
    table = frame(size=pd.Categorical(["s", "m"] * 10))
    assert load_file(written(table, ".parquet"), "price").levels[1] == ("m", "s")


@pytest.mark.parametrize(
    ("table", "target", "message"),
    [
        (frame(), "prise", "did you mean 'price'"),
        (frame(), None, "a target column, as in 'table.csv:price', got none; the columns are area"),
        (frame(label=["a", "b"] * 10, y=["c", "d"] * 10), None, "a target column"),
        (frame(price=[None] * N), "price", "got only missing ones"),
        (frame(price=[None, *range(N - 1)]), "price", "1 of 20 missing"),
        (frame(price=7), "price", "7 in every row"),
        (frame(id=[f"id{i}" for i in range(N)]), "id", "20 classes in 20 rows"),
        (frame()[:0], "price", "at least one row, got a table without rows"),
        (frame()[:1], "price", "at least two different values"),
        (frame()[:4], "price", "at least 5 rows"),
        (frame()[["price"]], "price", "a column besides the target 'price'"),
        (frame(rooms=[*map(str, range(19)), "many"]), "price", "19 numbers and 1 other .* 'many'"),
        (frame(rooms=[np.inf] * N), "price", "finite numbers or empty fields in column 'rooms'"),
        ("", "price", "it is empty"),
        ("1.5,2.5\n3.5,4.5\n", "price", "column names in the first line, got the numbers 1.5"),
        ("a,b\n1,2\n1,2,3,4\n", "b", "cannot be read as one"),
        ('a,b\n1,"2\n', "b", "cannot be read as one"),
        (b"\x00\x01\x02\xff", "b", "UTF-8"),
    ],
)
def test_a_table_nothing_can_be_learned_from_is_refused(written, table, target, message):
    path = written(table)
    with pytest.raises(ValueError, match=message) as caught:
        load_file(path, target)
    assert str(caught.value).startswith(f"`load_file({str(path)!r})` expected ")


def test_nested_values_are_refused(written):
    with pytest.raises(
        ValueError, match="numbers, names or dates in column 'rooms', got a ndarray"
    ):
        load_file(written(frame(rooms=[[1, 2]] * N), ".parquet"), "price")


@pytest.mark.parametrize("keep", [0, 30, -20])
def test_a_parquet_file_cut_short_is_one_error(written, keep):
    path = written(frame(), ".parquet")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="expected a Parquet file"):
        load_file(path, "price")
