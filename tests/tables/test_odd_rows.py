"""Rows of a file that are about its other rows, and what stands above the names of a sheet."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from overparam.cli import main
from overparam.datasets import load_file
from overparam.datasets.tables import read_frame
from overparam.tables import Reader
from overparam.tables.dates import read_dates
from overparam.tables.table_files import read_table_file

DRAW = np.random.default_rng(3)
N = 40
FRAME = pd.DataFrame(
    {
        "city": DRAW.choice(["Bonn", "Köln", "Ulm"], N),
        "rooms": DRAW.integers(1, 6, N),
        "price": np.round(DRAW.uniform(1000, 9000, N), 2),
        "y": np.round(DRAW.normal(50, 5, N), 2),
    }
)


def written(tmp_path, frame, last="", first="", separator=","):
    lines = frame.to_csv(index=False, sep=separator).splitlines()
    lines[1:1] = [first] if first else []
    path = tmp_path / "a.csv"
    path.write_text("\n".join([*lines, *([last] if last else [])]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (f"Total,,,{FRAME['y'].sum():.2f}", "'Total' and sums up 'y'"),
        (f"Summe:,{FRAME['rooms'].sum()},,0", "'Summe:' and sums up 'rooms'"),
        (f"Average,,{FRAME['price'].mean():.0f},1", "'Average' and sums up 'price'"),
        ("Ulm,Total,,7", "'Total'"),
        ('" ",,"Source: the statistical office",', "nothing but 'Source: the statistical office'"),
    ],
)
def test_a_last_row_about_the_others_is_refused(tmp_path, last, said):
    with pytest.raises(ValueError, match=f"row {N + 1}, the last.*{said}"):
        load_file(written(tmp_path, FRAME, last), target="y")


@pytest.mark.parametrize("file", ["a.csv", "a.xlsx"])
def test_names_that_stand_again_between_rows_are_left_out_and_told(tmp_path, file):
    names = pd.DataFrame([list(FRAME)], columns=list(FRAME))
    parts = [FRAME[:10], names, FRAME[10:25], names, FRAME[25:]]
    whole = pd.concat([part.astype(object) for part in parts])
    if file.endswith("xlsx"):
        pytest.importorskip("openpyxl", reason="overparam[excel]")
        whole.to_excel(tmp_path / file, index=False)
    else:
        whole.to_csv(tmp_path / file, index=False)
    with pytest.warns(UserWarning, match=f"{file}: rows 11, 27 repeat the names of the columns"):
        read = read_frame(tmp_path / file)
    reader = Reader.learn(read)
    assert reader.described()[1:] == ["rooms: number", "price: number", "y: number"]
    np.testing.assert_array_equal(reader.read(read).columns["y"], FRAME["y"])


def test_shares_beside_percentages_are_not_taken_for_them():
    frame = pd.DataFrame({"x": [f"{v}%" for v in range(30)] + ["0.12"] * 9 + ["0"], "y": range(40)})
    assert "numbers with and without %" in Reader.learn(frame).left_out["x"]
    reader = Reader.learn(frame, {"x": "number"})
    rows = reader.read(frame)
    assert "9 of 40 no number, such as '0.12'" in "; ".join(rows.told)
    numbers = rows.columns["x"]
    assert np.isnan(numbers[30:39]).all()
    np.testing.assert_array_equal(numbers[[5, 39]], [5, 0])


@pytest.mark.parametrize("last", ["Total,3,4000.5,57.1", "Ulm,3,,", "Ulm,sum,4000,51.2"])
def test_a_last_row_like_the_others_is_read(tmp_path, last):
    frame = FRAME.assign(rooms=np.where(FRAME["rooms"] > 3, "sum", "few"), y=FRAME["y"].round(1))
    if last.endswith(","):
        last += "7"
    data = load_file(written(tmp_path, frame, last), target="y")
    assert len(data.y_train) + len(data.y_test) == N + 1


def test_a_line_of_units_is_refused_and_one_typo_is_not_taken_for_it(tmp_path):
    with pytest.raises(ValueError, match=r"one line of names.*'\[EUR\]', 'years'"):
        load_file(written(tmp_path, FRAME, first=",,[EUR],years"), target="y")
    with pytest.raises(ValueError, match=r"one line of names.*'kg'"):
        load_file(written(tmp_path, FRAME[["city", "y"]], first="a city,kg"), target="y")
    with pytest.raises(ValueError, match="other entries such as 'several'"):
        load_file(written(tmp_path, FRAME, first="Ulm,several,2000,51"), target="y")
    path = written(tmp_path, FRAME, first="Ulm,several,2000,51")
    data = load_file(path, target="y", columns={"rooms": "number"})
    assert len(data.y_train) + len(data.y_test) == N + 1


@pytest.mark.parametrize(
    "above",
    [
        [["Prices of 2023", None, None, None], [None] * 4],
        [["Place", None, "Money", None]],
    ],
)
def test_names_of_a_sheet_stand_below_a_title_or_names_of_groups(tmp_path, above):
    pytest.importorskip("openpyxl")
    rows = [*above, list(FRAME.columns), *FRAME.to_numpy(object).tolist()]
    pd.DataFrame(rows).to_excel(tmp_path / "a.xlsx", header=False, index=False)
    found = read_frame(tmp_path / "a.xlsx")
    assert list(found.columns) == list(FRAME.columns)
    np.testing.assert_array_equal(found["y"].astype(float), FRAME["y"])


def test_a_column_without_a_name_is_no_title(tmp_path):
    pytest.importorskip("openpyxl")
    rows = [["", *FRAME.columns[1:]], *FRAME.to_numpy(object).tolist()]
    pd.DataFrame(rows).to_excel(tmp_path / "a.xlsx", header=False, index=False)
    assert len(read_frame(tmp_path / "a.xlsx")) == N


def workbook(path, sheets):
    """A workbook of rows by name of the sheet; a name in brackets is of a hidden one."""
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        page = book.create_sheet(name.strip("()"))
        page.sheet_state = "hidden" if name.startswith("(") else "visible"
        for row in rows:
            page.append(row)
    book.save(path)


def test_sheets_that_are_not_read_are_told_with_how_to_read_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [["a", "b"], [1, 2], [3, 4]]
    sheets = {"cover": [[None], [""]], "May": rows, "June": [["a", "b"], [5, 6]], "notes": [["x"]]}
    workbook("a.xlsx", {**sheets, "(lists)": [["v"], [1]], "Sheet4": []})
    with pytest.warns(UserWarning, match="read the sheet 'May', and not 'June', 'notes'") as told:
        found = read_frame(Path("a.xlsx"))
    assert found.to_dict("list") == {"a": [1, 3], "b": [2, 4]}
    assert len(told) == 1
    advice = str(told[0].message).partition("by itself: ")[2].rstrip(".")
    exec(advice, {"pandas": pd})
    assert read_frame(Path("sheet.csv")).to_dict("list") == {"a": ["5"], "b": ["6"]}


def test_a_command_tells_of_other_sheets_in_a_line(tmp_path, monkeypatch, capsys):
    workbook(tmp_path / "a.xlsx", {"May": [["a"], [1]], "June": [["a"], [2]]})

    def shown(message, category, filename, line, *_):
        print(warnings.formatwarning(message, category, filename, line))

    usual = warnings.formatwarning
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", shown)
        assert main(["fit", str(tmp_path / "a.xlsx"), "--target", "b"]) == 2
    assert capsys.readouterr().out.startswith("warning: a.xlsx: read the sheet 'May', and not")
    assert warnings.formatwarning is usual


def test_a_workbook_with_one_sheet_that_holds_something_says_nothing(tmp_path):
    workbook(tmp_path / "a.xlsx", {"May": [["a"], [1]], "Sheet2": [], "(lists)": [["v"], [1]]})
    assert read_frame(tmp_path / "a.xlsx").to_dict("list") == {"a": [1]}
    workbook(tmp_path / "b.xlsx", {"May": []})
    with pytest.raises(ValueError, match="got an empty one"):
        read_frame(tmp_path / "b.xlsx")


def test_zones_by_their_names():
    noon = ["2023-01-10 12:00", "2023-07-10 12:00"]
    plain = read_dates([f"{time}Z" for time in noon]).values
    for zone, hours in (
        (" CET", (1, 1)), (" EDT", (-4, -4)), (" Europe/Berlin", (1, 2)),
        ("+05:30[Asia/Kolkata]", (5.5, 5.5)),
    ):  # fmt: skip
        found = read_dates([time + zone for time in noon])
        assert found.unit == "days since 1970"
        # Days to the microsecond: 2⁻⁵³ of 20 000 of them is less.
        np.testing.assert_allclose(plain - found.values, np.array(hours) / 24, atol=1e-10)
    assert read_dates(["2023-01-10 12:00 XYZ", "2023-01-10 12:00 Mars/Base"]).unit == ""


def test_a_number_that_stands_for_none_is_told():
    values = FRAME["price"].where(np.arange(N) % 5 > 0, -999.0)
    reader = Reader.learn(pd.DataFrame({"price": values, "rooms": FRAME["rooms"] * 9}))
    price, rooms = reader.described()
    assert "-999 stands 8 times" not in price  # 1000 below, the others are 8000 apart
    assert rooms == "rooms: number"
    values = FRAME["rooms"].where(np.arange(N) % 5 > 0, 9999)
    assert "9999 stands 8 times, far from the others" in Reader.learn(
        pd.DataFrame({"rooms": values, "y": FRAME["y"]})
    ).described()[0]  # fmt: skip


def test_empty_fields_may_follow_some_rows(tmp_path):
    lines = FRAME.to_csv(index=False).splitlines()
    lines = [line + "," * (3 * (i % 3 == 2)) for i, line in enumerate(lines)]
    (tmp_path / "a.csv").write_text("\n".join(lines), encoding="utf-8")
    found = read_frame(tmp_path / "a.csv")
    assert list(found.columns) == list(FRAME.columns)
    np.testing.assert_array_equal(found["y"].astype(float), FRAME["y"])
    (tmp_path / "a.csv").write_text("\n".join([*lines, "Ulm,3,7.5,1,,x"]), encoding="utf-8")
    with pytest.raises(ValueError, match="there are 6 fields in line 42 and 4 names"):
        read_frame(tmp_path / "a.csv")


def test_a_number_of_the_customer_is_none_of_the_row_unless_it_repeats():
    frame = FRAME.assign(Kundennummer=1000 + 7 * np.arange(N), Hausnummer=np.arange(N) % 9)
    assert Reader.learn(frame).left_out == {"Kundennummer": "a number of the row"}


@pytest.mark.parametrize("dtype", ["boolean", "Int64", "Float32", "string", "category"])
def test_a_first_column_of_a_type_that_knows_missing_values_is_read(dtype, tmp_path):
    first = pd.Series([1, 0, None, 1], dtype="Int64").astype(dtype)
    frame = pd.DataFrame({"a": first, "b": [1.0, 2.0, 3.0, 4.0]})
    for file in (tmp_path / "t.parquet", tmp_path / "t.feather"):
        getattr(frame, f"to_{file.suffix[1:]}")(file)
        assert read_table_file(file)["a"].isna().tolist() == [False, False, True, False]
