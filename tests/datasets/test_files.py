from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from overparam.datasets import load_file, parse_source, resolve
from overparam.datasets.tables import read_frame
from overparam.diagnosis.examples import as_examples
from overparam.fitting import fit
from overparam.tables import table_files


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("houses.csv:price", ("houses.csv", "price")),
        ("houses.csv", ("houses.csv", None)),
        (r"C:\data\houses.csv", (r"C:\data\houses.csv", None)),
        (r"C:\data\houses.csv:target", (r"C:\data\houses.csv", "target")),
        ("C:/data/houses.parquet:y", ("C:/data/houses.parquet", "y")),
        ("houses.csv:price: total", ("houses.csv", "price: total")),
        ("a.csv/houses.npz:y", ("a.csv/houses.npz", "y")),
        ("HOUSES.CSV:Price", ("HOUSES.CSV", "Price")),
        ("houses.csv:prices.csv:a", ("houses.csv", "prices.csv:a")),
        ("houses.csv.gz:price", ("houses.csv.gz", "price")),
        ("houses.tsv", ("houses.tsv", None)),
        ("mnist", ("mnist", None)),
    ],
)
def test_a_source_is_a_path_and_a_target(source, parts):
    assert parse_source(source) == parts


def test_a_colon_without_a_name_is_refused():
    with pytest.raises(ValueError, match="the name of a column after the colon, got nothing"):
        parse_source("houses.csv:")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"`load_file\('.*none.csv'\)` expected a file"):
        load_file(tmp_path / "none.csv")


def test_a_directory_is_no_file(tmp_path):
    (tmp_path / "inside.csv").touch()
    with pytest.raises(ValueError, match=r"a file, got a directory.\nHint: it holds inside.csv"):
        load_file(tmp_path)


def test_an_unknown_suffix_is_refused(tmp_path):
    path = tmp_path / "table.docx"
    path.touch()
    with pytest.raises(ValueError, match=r"ending in .npz, .csv, .*, got '.docx'"):
        load_file(path)
    path = tmp_path / "table.xls"
    path.touch()
    with pytest.raises(ValueError, match=r"got '.xls'.\nHint: save it as .xlsx."):
        load_file(path)


@pytest.mark.parametrize("form", [str, Path, lambda path: f"{path}:y"])
def test_resolve_reads_files(tmp_path, form):
    path = tmp_path / "with a space.npz"
    np.savez(path, X=np.eye(10), y=np.arange(10) % 2)
    assert resolve(form(path)).name == "with a space"


def test_resolve_knows_names_even_beside_a_folder_of_that_name(tmp_path, monkeypatch):
    (tmp_path / "iris").mkdir()
    monkeypatch.chdir(tmp_path)
    assert len(resolve("iris").class_names) == 3


@pytest.mark.parametrize("source", ["./nothing", "nothing.csv", "~/nothing.npz", r".\nothing"])
def test_resolve_says_when_there_is_no_file(source):
    with pytest.raises(FileNotFoundError, match="expected a file"):
        resolve(source)


def test_a_format_of_tables_is_stated_in_one_place(tmp_path, monkeypatch):
    def read_lines(path, where):
        return pd.DataFrame({"x": range(20), "y": np.arange(20) / 2})

    monkeypatch.setitem(table_files.FRAMES, ".lines", read_lines)
    path = tmp_path / "toy.lines"
    path.touch()
    assert parse_source("a.LINES:y") == ("a.LINES", "y")
    assert len(resolve(f"{path}:y").y_train) == 16
    assert len(read_frame(path)) == 20
    (tmp_path / "toy.docx").touch()
    with pytest.raises(ValueError, match=r"ending in .npz, .csv, .*, .lines, got '.docx'"):
        load_file(tmp_path / "toy.docx")


@pytest.mark.parametrize("source", ["nowhere.csv", "digit", "houses.csv:"])
def test_an_error_names_the_call_that_was_made(source):
    """And not what that called in turn, of which its user knows nothing."""
    for call, said in (
        (lambda: resolve(source, where="train(data=...)"), "`train(data=...)` expected "),
        (lambda: fit(source), f"`fit({source!r})` expected "),
        (lambda: as_examples(source), f"`diagnose(data={source!r})` expected "),
    ):
        with pytest.raises((ValueError, FileNotFoundError)) as caught:
            call()
        assert str(caught.value).startswith(said)
