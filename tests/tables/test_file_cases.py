"""What is understood of a file, and that the same rows in another form mean the same.

Each case: a column as a file has it, what it is taken for, what is said of it, and the same values
in another type and format. A model is fitted to the first file, saved, loaded, and predicts the
rows of both.
"""

import datetime
import warnings
from dataclasses import dataclass
from decimal import Decimal
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from overparam.datasets.tables import read_frame
from overparam.fitting import load_model, read
from overparam.fitting.fit import pipeline
from overparam.fitting.saved_model import from_estimator
from overparam.kernels import RFMRegressor
from overparam.tables import Reader

N = 40
PLACES = np.arange(N)
DRAW = np.random.default_rng(0)
WHOLE = DRAW.integers(100, 90_000, N)
REAL = np.round(DRAW.normal(50, 20, N), 2)
DAYS = [datetime.date(2019, 1, 1) + datetime.timedelta(int(d)) for d in DRAW.integers(0, 900, N)]
TIMES = [datetime.datetime(2020, 3, 1) + datetime.timedelta(seconds=int(s))
         for s in DRAW.integers(0, 10_000_000, N)]  # fmt: skip
CLOCK = [datetime.time(int(s) // 60, int(s) % 60) for s in DRAW.integers(0, 1440, N)]
YES = DRAW.random(N) < 0.4
CITY = DRAW.choice(["Bonn", "Köln", "Ulm"], N)
FEW = DRAW.integers(1, 5, N)
GAPS = DRAW.random(N) < 0.3


FRENCH = [
    *("janvier", "février", "mars", "avril", "mai", "juin"),
    *("juillet", "août", "septembre", "octobre", "novembre", "décembre"),
]
SPANISH = [
    *("enero", "febrero", "marzo", "abril", "mayo", "junio"),
    *("julio", "agosto", "septiembre", "octubre", "noviembre", "diciembre"),
]
POLISH = [
    *("stycznia", "lutego", "marca", "kwietnia", "maja", "czerwca"),
    *("lipca", "sierpnia", "września", "października", "listopada", "grudnia"),
]
RUSSIAN = [
    *("января", "февраля", "марта", "апреля", "мая", "июня"),
    *("июля", "августа", "сентября", "октября", "ноября", "декабря"),
]
ARABIC = str.maketrans("0123456789.", "٠١٢٣٤٥٦٧٨٩٫")


def german(value: float) -> str:
    """1234.5 as 1.234,5."""
    return f"{value:,.2f}".translate(str.maketrans(",.", ".,"))


def gaps(values: Any, word: Any) -> list[Any]:
    return [word if gap else value for value, gap in zip(values, GAPS, strict=True)]


@dataclass
class Case:
    """The column x as written, what is understood and said, and another form of it."""

    written: Any
    words: str
    other: Any
    file: str = "a.csv"
    to: str = "b.parquet"
    said: str = ""
    options: dict[str, Any] | None = None
    other_options: dict[str, Any] | None = None


def stamps(values: Any, zone: str | None = None) -> pd.Series:
    series = pd.Series(pd.to_datetime(pd.Series(values)))
    return series.dt.tz_localize("UTC").dt.tz_convert(zone) if zone else series


CASES = {
    # numbers
    "percent": Case([f"{v}%" for v in REAL], "number in %", REAL),
    "percent after a blank": Case([f"{v} %" for v in REAL], "number in %", REAL, to="b.feather"),
    "decimal comma percent": Case(
        [f"{german(v)} %" for v in REAL], "number in %, decimal comma", REAL
    ),
    "thousands": Case([f"{v:,}" for v in WHOLE], "number", WHOLE),
    "thousands with points": Case(
        [german(v + 0.5) for v in WHOLE], "number, decimal comma", WHOLE + 0.5
    ),
    "thousands with blanks": Case([f"{v:,}".replace(",", " ") for v in WHOLE], "number", WHOLE),
    "thousands with thin blanks": Case(
        [f"{v:,}".replace(",", "\u202f") for v in WHOLE], "number", WHOLE
    ),
    "thousands with apostrophes": Case(
        [f"{v:,}".replace(",", "'") for v in WHOLE], "number", [str(v) for v in WHOLE]
    ),
    "lakhs": Case(
        [*[f"{v // 1000},{v % 1000:03}" if v > 999 else str(v) for v in WHOLE][:-1], "12,34,567"],
        "number",
        [*WHOLE[:-1], 1234567],
    ),
    "dollars": Case([f"${v:,}" for v in WHOLE], "number in $", WHOLE.astype(float)),
    "euros behind": Case([f"{german(v)} €" for v in WHOLE], "number in €, decimal comma", WHOLE),
    "euros in front of text": Case(
        [f"€ {v:,.2f}" for v in WHOLE], "number in €", [f"{v} EUR" for v in WHOLE], to="b.csv"
    ),
    "negative in brackets": Case(
        [f"({v})" if y else f"{v}" for v, y in zip(WHOLE, YES, strict=True)],
        "number",
        np.where(YES, -WHOLE, WHOLE),
    ),
    "a minus behind": Case(
        [f"{v}-" if y else f"{v}" for v, y in zip(WHOLE, YES, strict=True)],
        "number",
        np.where(YES, -WHOLE, WHOLE),
    ),
    "Swiss francs": Case(
        [f"CHF {v:,.2f}".replace(",", "'") for v in WHOLE], "number in CHF", WHOLE
    ),
    "reais": Case([f"R$ {german(v)}" for v in WHOLE], "number in R$, decimal comma", WHOLE),
    "thousands of pounds": Case([f"£{v / 1000:g}k" for v in WHOLE], "number in £", WHOLE),
    "degrees": Case(
        [f"{v} °C" for v in REAL], "number in °C", [f"{v}°C" for v in REAL], to="b.csv"
    ),
    "exponents with a comma": Case(
        [f"{v:.6e}".replace(".", ",") for v in WHOLE], "number, decimal comma", WHOLE
    ),
    "a real minus": Case([f"{-v}".replace("-", "−") for v in WHOLE], "number", -WHOLE),
    "kilometres": Case([f"{v} km" for v in REAL], "number in km", REAL),
    "rooms": Case([f"{v} room{'s'[: int(v != 1)]}" for v in FEW], "number in room", FEW),
    "kilo and mega": Case(
        [f"{v / 1000:g}k" if v < 50_000 else f"{v / 1e6:g}M" for v in WHOLE], "number", WHOLE
    ),
    "exponents": Case([f"{v:.6e}" for v in WHOLE], "number", WHOLE),
    "digits of another script": Case([str(v).translate(ARABIC) for v in REAL], "number", REAL),
    "marks that do not show": Case([f"\u200b{v}\ufeff" for v in REAL], "number", REAL),
    "text to a spreadsheet": Case(
        [f'="{v}"' for v in REAL], "number", [f"'{v}" for v in REAL], to="b.csv"
    ),
    "a currency by its sign": Case([f"₿{v}" for v in WHOLE], "number in ₿", WHOLE),
    "millions of dollars": Case([f"${v}m" for v in WHOLE], "number in $", WHOLE * 1e6),
    "a unit of two": Case([f"{v} kWh/m²" for v in REAL], "number in kWh/m²", REAL),
    "unknown among numbers": Case(
        gaps(REAL, "unknown"), "number", gaps(REAL, np.nan), said="'unknown' read as missing"
    ),
    "several words for a gap": Case(
        gaps(gaps(REAL, "-")[::-1], "n.a.")[::-1],
        "number",
        pd.Series(gaps(gaps(REAL, None)[::-1], None)[::-1], dtype="Float64"),
    ),
    "NA among numbers": Case(
        gaps(WHOLE, "NA"), "number", pd.Series(gaps(WHOLE, None), dtype="Int64")
    ),
    "text of numbers": Case([str(v) for v in REAL], "number", REAL, file="a.parquet", to="b.csv"),
    "objects of numbers": Case(gaps(REAL, None), "number", gaps(REAL, ""), "a.parquet", "b.csv"),
    "decimals": Case([Decimal(str(v)) for v in REAL], "number", REAL, "a.parquet", "b.csv"),
    "single precision": Case(REAL.astype(np.float32), "number", REAL, "a.parquet", "b.csv"),
    "small integers": Case(FEW.astype(np.int8), "number", FEW.astype(str), "a.parquet", "b.tsv"),
    "Arrow's numbers": Case(
        pd.Series(REAL, dtype="float64[pyarrow]"), "number", REAL, "a.parquet", "b.feather"
    ),
    "decimal commas predicted": Case(
        REAL, "number", [german(v) for v in REAL], "a.parquet", "b.csv"
    ),
    "percent predicted": Case(REAL, "number", [f"{v}%" for v in REAL], "a.feather", "b.csv"),
    "one comma that could be either": Case(
        [f"{v:,}" for v in WHOLE % 9000 + 1000], "number", WHOLE % 9000 + 1000, said="decimal comma"
    ),
    "zeros in front predicted": Case(FEW, "number", [f"{v:03}" for v in FEW], "a.parquet", "b.csv"),
    "very many digits predicted": Case(
        WHOLE * 10**13, "number", [str(v) for v in WHOLE * 10**13], "a.parquet", "b.csv"
    ),
    "decimals of Arrow": Case(
        pd.Series([Decimal(str(v)) for v in REAL], dtype=pd.ArrowDtype(pa.decimal128(10, 2))),
        "number",
        REAL.astype(str),
        "a.feather",
        "b.csv",
    ),
    "spans of Arrow": Case(
        pd.Series(pd.to_timedelta(WHOLE, unit="s")).astype(pd.ArrowDtype(pa.duration("s"))),
        "number",
        pd.to_timedelta(WHOLE, unit="s"),
        "a.parquet",
        "b.csv",
    ),
    "nullable single precision": Case(
        pd.Series(gaps(REAL, None), dtype="Float32"), "number", gaps(REAL, ""), "a.feather", "b.csv"
    ),
    "spans": Case(
        pd.to_timedelta(WHOLE, unit="min"),
        "number",
        [str(t) for t in pd.to_timedelta(WHOLE, unit="min")],
        "a.parquet",
        "b.csv",
    ),
    "more than a day": Case(
        [f"{v // 3600}:{v % 3600 // 60:02}:{v % 60:02}" for v in 7 * WHOLE],
        "number in days",
        pd.to_timedelta(7 * WHOLE, unit="s"),
    ),
    "laps": Case(
        [f"{v // 60}:{v % 60:02}.5" for v in WHOLE % 9000],
        "number in days",
        [f"{v // 3600}:{v % 3600 // 60:02}:{v % 60:02},5" for v in WHOLE % 9000],
        options={"sep": ";"},
        to="b.tsv",
    ),
    "hours and minutes": Case(
        [f"{v // 60} h {v % 60} min" if v % 7 else f"{v} min" for v in WHOLE],
        "number in days",
        [f"PT{v // 60}H{v % 60}M" for v in WHOLE],
        to="b.csv",
    ),
    # dates and times
    "ISO": Case([d.isoformat() for d in DAYS], "date", stamps(DAYS)),
    "time stamps": Case(
        stamps(TIMES), "date", [t.isoformat(" ") for t in TIMES], "a.parquet", "b.csv"
    ),
    "time stamps in nanoseconds": Case(
        stamps(TIMES).astype("datetime64[ns]"), "date", stamps(TIMES), "a.parquet", "b.csv"
    ),
    "dates of Python": Case(DAYS, "date", [d.isoformat() for d in DAYS], "a.parquet", "b.csv"),
    "day first": Case([d.strftime("%d/%m/%Y") for d in DAYS], "date, day first", DAYS),
    "month first": Case([d.strftime("%m/%d/%Y") for d in DAYS], "date, month first", DAYS),
    "points": Case([f"{d.day}.{d.month}.{d.year}" for d in DAYS], "date", stamps(DAYS)),
    "two digits of a year": Case([d.strftime("%d.%m.%y") for d in DAYS], "date", stamps(DAYS)),
    "dates of Arrow": Case(
        pd.Series(DAYS, dtype=pd.ArrowDtype(pa.date32())), "date", DAYS, "a.feather", "b.csv"
    ),
    "time stamps of Arrow": Case(
        pd.Series(TIMES, dtype=pd.ArrowDtype(pa.timestamp("us", "UTC"))),
        "date",
        [t.strftime("%Y%m%dT%H%M%SZ") for t in TIMES],
        "a.parquet",
        "b.csv",
    ),
    "without marks between": Case([t.strftime("%Y%m%dT%H%M%S") for t in TIMES], "date", TIMES),
    "weeks": Case(
        [f"{d.isocalendar().year}-W{d.isocalendar().week:02}" for d in DAYS],
        "date",
        [d - datetime.timedelta(d.weekday()) for d in DAYS],
    ),
    "quarters": Case(
        [f"{d.year}-Q{(d.month + 2) // 3}" for d in DAYS],
        "date",
        [d.replace(month=(d.month + 2) // 3 * 3 - 2, day=1) for d in DAYS],
    ),
    "French months": Case(
        [f"{d.day} {FRENCH[d.month - 1]} {d.year}" for d in DAYS],
        "date",
        [f"{d.day} de {SPANISH[d.month - 1]} de {d.year}" for d in DAYS],
        to="b.csv",
    ),
    "Polish and Russian months": Case(
        [f"{d.day} {POLISH[d.month - 1]} {d.year}" for d in DAYS],
        "date",
        [f"{d.day} {RUSSIAN[d.month - 1]} {d.year} г." for d in DAYS],
        to="b.csv",
    ),
    "Hungarian days": Case([d.strftime("%Y. %m. %d.") for d in DAYS], "date", DAYS),
    "o'clock": Case(
        [t.strftime("%d.%m.%Y, %H:%M Uhr") for t in TIMES],
        "date",
        [t.strftime("%d.%m.%Y %Hh%M") for t in TIMES],
        to="b.csv",
    ),
    "times of a log and of C": Case(
        [t.strftime("%d/%b/%Y:%H:%M:%S +0000") for t in TIMES],
        "date",
        [t.strftime("%a %b %d %H:%M:%S %Y") for t in TIMES],
        to="b.csv",
    ),
    "a month and its year": Case(
        [d.strftime("%m/%Y") for d in DAYS], "date", [d.strftime("%Y-%m") for d in DAYS], to="b.csv"
    ),
    "a quarter and its year": Case(
        [f"Q{(d.month + 2) // 3} {d.year}" for d in DAYS],
        "date",
        [f"{d.year}-Q{(d.month + 2) // 3}" for d in DAYS],
        to="b.csv",
    ),
    "days of MySQL": Case(
        gaps(DAYS, "0000-00-00"), "date", gaps(DAYS, ""), to="b.csv", said="'0000-00-00' read as"
    ),
    "the end of time": Case(gaps(DAYS, "9999-12-31"), "date", None, said="9999-12-31 stands"),
    "Japanese days": Case([f"{d.year}年{d.month}月{d.day}日" for d in DAYS], "date", DAYS),
    "days of the week": Case(
        [t.strftime("%a, %d %b %Y %H:%M:%S +0000") for t in TIMES], "date", TIMES
    ),
    "months of a period": Case(
        pd.Series(pd.PeriodIndex(DAYS, freq="M")),
        "date",
        [d.replace(day=1).isoformat() for d in DAYS],
        to="b.csv",
    ),
    "names of months": Case([d.strftime("%d %b %Y") for d in DAYS], "date", stamps(DAYS)),
    "American names": Case(
        [d.strftime("%B %d, %Y") for d in DAYS],
        "date",
        [d.strftime("%Y/%m/%d") for d in DAYS],
        to="b.tsv",
    ),
    "the other order predicted": Case(
        [d.strftime("%d/%m/%Y") for d in DAYS],
        "date, day first",
        [d.strftime("%m/%d/%Y") for d in DAYS],
        to="b.csv",
    ),
    "zones": Case([t.isoformat() + "Z" for t in TIMES], "date", stamps(TIMES, "America/New_York")),
    "zones as offsets": Case(
        stamps(TIMES, "Asia/Tokyo"),
        "date",
        [str(t) for t in stamps(TIMES, "Europe/Berlin")],
        "a.parquet",
        "b.csv",
    ),
    "seconds and halves of the day": Case(
        [t.strftime("%m/%d/%Y %I:%M:%S %p") for t in TIMES], "date, month first", stamps(TIMES)
    ),
    "times": Case([t.strftime("%H:%M") for t in CLOCK], "time of day", CLOCK),
    "missing dates": Case(gaps(DAYS, ""), "date", pd.to_datetime(pd.Series(gaps(DAYS, None)))),
    "months": Case(
        [d.strftime("%Y-%m") for d in DAYS],
        "date",
        [d.replace(day=1).isoformat() for d in DAYS],
        to="b.feather",
    ),
    "yyyymmdd predicted": Case(
        DAYS, "date", [int(d.strftime("%Y%m%d")) for d in DAYS], "a.parquet", "b.csv"
    ),
    # yes and no
    "yes and no": Case(np.where(YES, "yes", "no"), "yes/no", YES),
    "with blanks and capitals": Case(
        ["Yes " if y and i % 2 else "YES" if y else "no" for i, y in enumerate(YES)],
        "yes/no",
        YES.astype(int),
        to="b.csv",
    ),
    "true and false": Case(YES, "yes/no", YES.astype(float), to="b.feather"),
    "nullable": Case(
        pd.Series(gaps(YES, None), dtype="boolean"),
        "yes/no",
        gaps(np.where(YES, "TRUE", "FALSE"), ""),
        "a.parquet",
        "b.csv",
    ),
    "ja and nein": Case(np.where(YES, "ja", "nein"), "yes/no", pd.Series(YES), to="b.feather"),
    "booleans of Arrow": Case(
        pd.Series(YES, dtype=pd.ArrowDtype(pa.bool_())),
        "yes/no",
        np.where(YES, "Y", "N"),
        "a.parquet",
        "b.csv",
    ),
    "one and zero": Case(YES.astype(int), "yes/no", np.where(YES, "True", "False"), to="b.tsv"),
    # categories
    "cities": Case(
        CITY, "category of 3 levels", pd.Categorical(CITY, ["Ulm", "Köln", "Bonn", "x"])
    ),
    "a category of whole numbers": Case(
        pd.Categorical(FEW), "category of 4 levels", FEW.astype(float), "a.feather", "b.csv"
    ),
    "a category, text predicted": Case(
        pd.Categorical(FEW, [4, 3, 2, 1]),
        "category of 4 levels",
        FEW.astype(str),
        "a.feather",
        "b.feather",
    ),
    "capitals": Case(
        [c.upper() if i % 7 == 0 else c for i, c in enumerate(CITY)],
        "category of 3 levels",
        CITY,
        said="letters' case does not matter",
    ),
    "blanks around": Case(
        [f" {c} " for c in CITY], "category of 3 levels", CITY, "a.parquet", "b.csv"
    ),
    "letters made of two": Case(
        [c.replace("ö", "o\u0308") for c in CITY], "category of 3 levels", CITY
    ),
    "leading zeros": Case([f"{v:02}" for v in FEW], "category of 4 levels", FEW),
    "missing level": Case(gaps(CITY, ""), "category of 3 levels", gaps(CITY, None)),
    "a word for missing": Case(gaps(CITY, "NA"), "category of 3 levels", gaps(CITY, None)),
    "genotypes": Case(DRAW.choice(["AA", "Aa", "aa"], N), "category of 3 levels", None),
    "text of Arrow": Case(
        pd.Series(CITY, dtype=pd.ArrowDtype(pa.string())),
        "category of 3 levels",
        CITY,
        "a.parquet",
        "b.csv",
    ),
    "a dictionary of Arrow": Case(
        pd.Series(pd.Categorical(CITY)).astype(
            pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))
        ),
        "category of 3 levels",
        CITY,
        "a.feather",
        "b.csv",
    ),
    "a dictionary of Arrow in Parquet": Case(
        CITY,
        "category of 3 levels",
        pd.Series(pd.Categorical(CITY)).astype(
            pd.ArrowDtype(pa.dictionary(pa.int8(), pa.string()))
        ),
    ),
    "bounds": Case(
        [f"<{v}" if v == 1 else str(v) for v in FEW],
        "category of 4 levels",
        None,
        said="no number because of bounds such as '<1'",
    ),
    "two units": Case(
        [f"{v} {'kg' if y else 'lb'}" for v, y in zip(FEW, YES, strict=True)],
        "category of 8 levels",
        None,
        said="two units, kg and lb",
    ),
    # left out
    "text": Case([f"text no. {i} of many" for i in PLACES], "", None, said="text that differs"),
    "names of rows": Case([f"A-{i:04}" for i in PLACES], "", None, said="a name of the row"),
    "empty": Case([None] * N, "", None, said="empty"),
    "one value": Case(["same"] * N, "", None, said="one value"),
    "days that could be months": Case(
        [f"{d.day % 12 + 1:02}/{d.month:02}/{d.year}" for d in DAYS],
        "",
        None,
        said="days and months that could be either",
    ),
    # files
    "semicolons": Case(REAL, "number, decimal comma", REAL, options={"sep": ";", "decimal": ","}),
    "bars": Case(CITY, "category of 3 levels", CITY, options={"sep": "|"}),
    "tabs": Case(CITY, "category of 3 levels", CITY, "a.csv", "b.csv", options={"sep": "\t"}),
    "blanks between": Case(REAL, "number", REAL, "a.txt", options={"sep": " "}),
    "Latin-1": Case(CITY, "category of 3 levels", CITY, options={"encoding": "latin-1"}),
    "UTF-16": Case(CITY, "category of 3 levels", CITY, options={"encoding": "utf-16"}),
    "UTF-8 with a mark": Case(
        CITY, "category of 3 levels", CITY, options={"encoding": "utf-8-sig"}
    ),
    "gz": Case(CITY, "category of 3 levels", CITY, "a.csv.gz", "b.csv"),
    "Windows' letters": Case(
        [f"{c} – “{c}”" for c in CITY],
        "category of 3 levels",
        [f"{c} – “{c}”" for c in CITY],
        options={"encoding": "cp1252"},
    ),
    "xz": Case(REAL, "number", REAL, "a.tsv.xz", "b.csv.bz2"),
    "zip": Case(REAL, "number", REAL, "a.zip", "b.csv"),
    "a workbook of dates": Case(
        stamps(DAYS), "date", [d.isoformat() for d in DAYS], "a.xlsx", "b.csv"
    ),
    "a workbook of numbers": Case(gaps(REAL, None), "number", gaps(REAL, ""), "a.xlsx", "b.csv"),
    "a workbook of everything": Case(
        np.where(YES, "yes", "no"), "yes/no", pd.Series(YES), "a.csv", "b.xlsx"
    ),
}


def write(folder, file: str, frame: pd.DataFrame, options: dict[str, Any] | None):
    path = folder / file
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".feather":
        frame.to_feather(path)
    elif path.suffix == ".xlsx":
        frame.to_excel(path, index=False)
    else:
        frame.to_csv(
            path, index=False, **({"sep": "\t"} if ".tsv" in file else {}) | (options or {})
        )
    return path


def table(column: Any, *, turned: bool = False) -> pd.DataFrame:
    """The column beside another one; turned, the columns stand otherwise and one is added."""
    draw = np.random.default_rng(1)
    a = draw.normal(size=N)
    frame = pd.DataFrame({"a": a, "x": pd.Series(column), "y": a + np.sin(PLACES)})
    return frame.assign(more="z")[["more", "x", "y", "a"]] if turned else frame


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_same_rows_in_another_form_mean_the_same(case, tmp_path):
    if "xlsx" in case.file + case.to and not find_spec("openpyxl"):
        pytest.skip("openpyxl is not installed: overparam[excel]")
    file = write(tmp_path, case.file, table(case.written), case.options)
    data = read(file, "y")
    column = data.reader["x"]
    assert (column.words() if column.is_used else "") == case.words
    assert case.said in (column.note or column.reason) or case.said in column.reason
    fitted: Any = pipeline(data.x, RFMRegressor(n_iter=1, random_state=0)).fit(data.x, data.y)
    medians = {name: float(data.x[name].median()) for name in fitted[0].feature_names_in_
               if data.reader[name].is_number}  # fmt: skip
    saved = from_estimator(fitted[-1], medians, "y", (), data.reader)
    again = load_model(saved.save(tmp_path / "model"))
    expected = again.predict(read_frame(file))
    # The table has the rows in another order.
    np.testing.assert_allclose(np.sort(fitted.predict(data.x)), np.sort(expected), atol=1e-9)
    frames = [read_frame(file)]
    if case.other is not None:
        other = table(case.other, turned=True)
        frames += [other, read_frame(write(tmp_path, case.to, other, case.other_options))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for frame in frames:
            np.testing.assert_allclose(again.predict(frame), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["id", "ID", "customer_id", "rowId", "Unnamed: 0", "No."])
def test_what_numbers_the_rows_is_left_out_by_its_name(name):
    frame = pd.DataFrame({name: 1000 + 7 * PLACES, "day": PLACES, "humid": WHOLE})
    reader = Reader.learn(frame)
    assert reader.left_out == {name: "a number of the row"}
    assert Reader.learn(frame, {name: "number"}).left_out == {}
