"""Any table, in any of the formats and types, means the same to a reader."""

import datetime
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from overparam.datasets.tables import read_frame
from overparam.tables import Reader, read_table_file

ROWS = st.integers(8, 30)
FORMATS = ["csv", "semicolons", "tsv", "utf-16", "gz", "parquet", "feather", "frame", "objects"]


def number_texts(values: list[float], how: str) -> Any:
    """The same numbers in one of the ways in which they are written."""
    whole = all(float(v).is_integer() for v in values if v == v)
    ways = {
        "typed": lambda: values,
        "text": lambda: ["" if v != v else repr(v) for v in values],
        "percent": lambda: ["" if v != v else f"{v!r}%" for v in values],
        "dollars": lambda: ["" if v != v else f"${v:,}" for v in values],
        "comma": lambda: ["" if v != v else f"{v!r} kg".replace(".", ",") for v in values],
        "integers": lambda: pd.array([None if v != v else int(v) for v in values], "Int64"),
    }
    return ways[how if how != "integers" or whole else "typed"]()


NUMBERS = st.one_of(
    st.integers(-10_000, 10_000).map(float),
    st.integers(-1_000_000, 1_000_000).map(lambda v: v / 100),
)
SPELLED = st.sampled_from(["typed", "text", "percent", "dollars", "comma", "integers"])


@st.composite
def columns(draw: st.DrawFn, n: int) -> tuple[str, Any, Any]:
    """A kind, and one column of it in two forms."""
    kind = draw(st.sampled_from(["number", "date", "yes/no", "category"]))
    gap = (
        draw(st.lists(st.booleans(), min_size=n, max_size=n))
        if draw(st.booleans())
        else [False] * n
    )
    if kind == "number":
        values = draw(st.lists(NUMBERS, min_size=n, max_size=n))
        values = [np.nan if g else v for v, g in zip(values, gap, strict=True)]
        how = draw(SPELLED)
        # A unit is known from the first form on; numbers may come without it, not with another.
        then = draw(SPELLED if how in ("typed", "text", "integers") else st.sampled_from(
            ["typed", "text", how]))  # fmt: skip
        forms = [number_texts(values, how), number_texts(values, then)]
    elif kind == "date":
        days = draw(st.lists(st.dates(datetime.date(1800, 1, 1), datetime.date(2200, 1, 1)),
                             min_size=n, max_size=n))  # fmt: skip
        known = [None if g else d for d, g in zip(days, gap, strict=True)]
        ways = {
            "python": known,
            "stamps": pd.Series(known, dtype="datetime64[s]"),
            "ISO": ["" if d is None else d.isoformat() for d in known],
            "named": ["" if d is None else f"{d.day} {d:%B} {d.year}" for d in known],
            "points": ["" if d is None else f"{d.day}.{d.month}.{d.year}" for d in known],
        }
        forms = [ways[draw(st.sampled_from(sorted(ways)))] for _ in range(2)]
    elif kind == "yes/no":
        truths = draw(st.lists(st.booleans(), min_size=n, max_size=n))
        known = [None if g else t for t, g in zip(truths, gap, strict=True)]
        ways = {
            "bools": pd.array(known, "boolean"),
            "words": ["" if t is None else "Yes" if t else "no" for t in known],
            "bits": [np.nan if t is None else float(t) for t in known],
            "TRUE": ["" if t is None else str(t).upper() for t in known],
        }
        forms = [ways[draw(st.sampled_from(sorted(ways)))] for _ in range(2)]
    else:
        levels = ["red", "green", "Blau, hell", "it's", 'a "b"', "ß", "naïve"]
        named = draw(st.lists(st.sampled_from(levels), min_size=n, max_size=n))
        known = [None if g else v for v, g in zip(named, gap, strict=True)]
        order = draw(st.permutations(levels))
        ways = {
            "text": known,
            "blanks": ["" if v is None else f" {v} " for v in known],
            "category": pd.Categorical(known, order),
        }
        forms = [ways[draw(st.sampled_from(sorted(ways)))] for _ in range(2)]
    return kind, *forms


def through(frame: pd.DataFrame, form: str, folder: Path) -> pd.DataFrame:
    """The frame, written and read."""
    if form == "frame":
        return frame
    if form == "objects":
        return frame.astype(object)
    if form in ("parquet", "feather"):
        path = folder / f"a.{form}"
        getattr(frame, f"to_{form}")(path)
        return read_table_file(path)
    path = folder / {"tsv": "a.tsv", "gz": "a.csv.gz"}.get(form, "a.csv")
    options: dict[str, Any] = {
        "semicolons": {"sep": ";"}, "tsv": {"sep": "\t"}, "utf-16": {"encoding": "utf-16"}
    }.get(form, {})  # fmt: skip
    frame.to_csv(path, index=False, **options)
    return read_table_file(path)


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_table_means_the_same_in_any_form(data):
    n = data.draw(ROWS)
    drawn = [data.draw(columns(n)) for _ in range(data.draw(st.integers(2, 4)))]
    first = pd.DataFrame({f"c{i}": form for i, (_, form, _) in enumerate(drawn)})
    second = pd.DataFrame({f"c{i}": form for i, (_, _, form) in enumerate(drawn)})
    second = second[data.draw(st.permutations(list(second.columns)))].assign(extra=1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one = through(first, data.draw(st.sampled_from(FORMATS)), folder)
        other = through(second, data.draw(st.sampled_from(FORMATS)), folder)
    reader = Reader.learn(one)
    assert Reader.from_dict(reader.to_dict()) == reader
    kinds = {f"c{i}": kind for i, (kind, _, _) in enumerate(drawn)}
    for column in reader.used:
        # Numbers that are 0 and 1, or few, are yes and no; a column of one value and gaps is a
        # category.
        if column.kind != kinds[column.name]:
            assert len(set(first[column.name].dropna().astype(str)) - {""}) < 3
    if not reader.used:
        return
    ours, theirs = reader.read(one), reader.read(other)
    assert not any("level that was not there" in line for line in theirs.told)
    for name, values in ours.columns.items():
        np.testing.assert_allclose(theirs.columns[name], values, rtol=1e-12, atol=1e-12)


def test_a_reader_says_what_it_cannot_read():
    frame = pd.DataFrame({"a": ["1", "2", "4"] * 5, "b": ["2020-01-31", "2020-02-01", ""] * 5})
    reader = Reader.learn(frame)
    for change, message in {
        "a": ({"a": "two"}, "finite numbers or empty fields in 'a', got 'two'"),
        "b": ({"b": "01/02/2020"}, "dates of one form in 'b', got days and months"),
        "c": ({"b": 12.5}, "dates or empty fields in 'b', got numbers such as 12.5"),
    }.values():
        try:
            reader.read(frame.assign(**change))
        except ValueError as error:
            assert message in str(error)  # noqa: PT017
        else:
            raise AssertionError(message)


def test_a_table_of_another_library_is_read():
    """Whatever can make a data frame of pandas: Arrow here, Polars alike."""
    import pyarrow as pa

    made = pa.table({"a": pa.array([1.5, 2.5, None]), "b": pa.array(["x", "y", "x"])})
    reader = Reader.learn(made.to_pandas())
    np.testing.assert_array_equal(reader.read(made).columns["a"], [1.5, 2.5, np.nan])


def test_an_index_with_a_name_is_a_column():
    frame = pd.DataFrame({"a": [1.5, 2.5, 4.0]}, index=pd.Index([3.0, 1.0, 2.0], name="depth"))
    reader = Reader.learn(frame)
    assert [column.name for column in reader.columns] == ["depth", "a"]
    text = io.StringIO()
    frame.to_csv(text)
    text.seek(0)
    again = reader.read(pd.read_csv(text)).columns
    np.testing.assert_array_equal(again["depth"], [3.0, 1.0, 2.0])


def test_names_of_several_levels_are_joined_when_a_file_has_them(tmp_path):
    frame = pd.DataFrame({("g", "a"): [1.0, 2.0], ("g", "b"): [3.0, 4.0]})
    frame.to_parquet(tmp_path / "a.parquet")
    assert list(read_frame(tmp_path / "a.parquet")) == ["g a", "g b"]


def test_a_column_of_lists_of_arrow_is_refused_in_a_line():
    lists = pd.Series([[1, 2]] * 5, dtype=pd.ArrowDtype(pa.list_(pa.int64())))
    with pytest.raises(ValueError, match="numbers, names or dates in column 'x', got a list"):
        Reader.learn(pd.DataFrame({"x": lists}))
