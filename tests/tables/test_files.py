"""What files hold decides how they are read; what they declare, whether."""

import gzip
import io
import zipfile

import pandas as pd
import pytest

from overparam.tables import read_table_file
from overparam.tables.text_files import decoded

TABLE = {"a": ["1", "3"], "b": ["2", "4"]}
TEXTS = {
    "comments in front": "# made by hand\n\n# twice\na,b\n1,2\n3,4\n",
    "names behind a mark": "#a,b\n1,2\n3,4\n",
    "a declared separator": "sep=;\na;b\n1;2\n3;4\n",
    "bars": "a|b\n1|2\n3|4\n",
    "tabs": "a\tb\n1\t2\n3\t4\n",
    "blanks": "a  b\n1 2\n 3  4\n",
    "old ends of lines": "a,b\r1,2\r3,4\r",
    "blanks around names": " a ,b \n1,2\n3,4\n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_text_is_read_by_what_it_holds(text, encoding, tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode(encoding))
    frame = read_table_file(path)
    assert {str(name).strip(): list(values) for name, values in frame.items()} == TABLE


@pytest.mark.parametrize("word", ["Köln", "naïve café", "Ærø", "10 €", "“quoted”"])
def test_letters_of_one_byte_are_read(word):
    assert decoded(f"a,b\n{word},1\n".encode("cp1252")) == f"a,b\n{word},1\n"


def test_separators_within_quotes_and_decimal_commas_do_not_separate(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('name;v\n"x, y, z";1,5\n"w";2,5\n')
    assert read_table_file(path).to_dict("list") == {"name": ["x, y, z", "w"], "v": ["1,5", "2,5"]}


def test_a_file_under_another_kind_of_name_is_what_it_holds(tmp_path):
    path = tmp_path / "a.csv"
    text = b"a,b\n1,2\n3,4\n"
    path.write_bytes(gzip.compress(text))
    assert read_table_file(path).to_dict("list") == TABLE
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inside.csv", text)
        archive.writestr("README.md", "read me")
    assert read_table_file(path).to_dict("list") == TABLE
    content = io.BytesIO()
    pd.DataFrame(TABLE).to_parquet(content)
    path.write_bytes(content.getvalue())
    assert read_table_file(path).to_dict("list") == TABLE


def declaring(path, size):
    """A zip archive whose one member says it is so large."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", "a,b\n" + "1,2\n" * 10)
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\1\2")
    content[entry + 24 : entry + 28] = size.to_bytes(4, "little")
    path.write_bytes(content)


def test_what_a_file_declares_is_not_unpacked(tmp_path):
    for name in ("a.zip", "a.xlsx"):
        declaring(tmp_path / name, 2**31)
        with pytest.raises(ValueError, match=r"would grow to 2\.0 GiB"):
            read_table_file(tmp_path / name)
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n")[:-4] + (2**31).to_bytes(4, "little"))
    with pytest.raises(ValueError, match=r"would grow to 2\.0 GiB"):
        read_table_file(path)


def test_what_unpacks_beyond_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("overparam._memory.available", lambda device: 1000)
    text = b"a,b\n" + b"1,2\n" * 400
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text))
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", text)
    pd.DataFrame({"a": range(400)}).to_feather(tmp_path / "a.feather")
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(MemoryError, match="available"):
            read_table_file(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv.gz", gzip.compress(b"a,b\n1,2\n", mtime=0)[:-9], "compressed as .gz"),
        ("a.xz", b"nothing", "compressed as .xz"),
        ("a.zip", b"nothing", "a zip archive"),
        ("a.xlsx", b"nothing", "a workbook"),
        ("a.feather", b"nothing", "a Feather file"),
        ("a.parquet.gz", gzip.compress(b"PAR1", mtime=0), "a .parquet file so compressed"),
        ("a.pkl", b"", "a pickle runs code when it is opened"),
        ("a.docx", b"", "a file ending in .csv"),
    ],
)
def test_what_cannot_be_read_is_one_clear_error(name, content, message, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^`read_table_file") as caught:
        read_table_file(path)
    assert message in str(caught.value)


def test_several_tables_in_an_archive_are_named(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one.csv", "a,b\n1,2\n")
        archive.writestr("two.csv", "a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"one table, got one of one\.csv, two\.csv"):
        read_table_file(path)


def test_a_workbook_without_its_reader_names_the_extra(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as archive:
        archive.writestr("[Content_Types].xml", "")
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    with pytest.raises(ImportError, match=r"pip install 'overparam\[excel\]'"):
        read_table_file(tmp_path / "a.xlsx")
