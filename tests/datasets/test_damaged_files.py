"""Files that are damaged, hostile or no files: one clear error, in bounded memory, no code run."""

import io
import os
import pickle
import random
import struct
import tracemalloc
import zipfile

import numpy as np
import pandas as pd
import pytest

from overparam.datasets import load_file
from overparam.datasets.tables import read_frame

# In all; OVERPARAM_FUZZ=1500 takes a minute.
EXAMPLES = int(os.environ.get("OVERPARAM_FUZZ", "300"))
PARTS = 5


def npy(array, **changes) -> bytes:
    """An array as a member of an archive, its header with some words changed."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(array), allow_pickle=True)
    content = stream.getvalue()
    for old, new in changes.items():
        content = content.replace(old.encode(), new.encode(), 1)
    return content


def archive(path, method=zipfile.ZIP_STORED, **members):
    """An archive of arrays, or of bytes."""
    with zipfile.ZipFile(path, "w", method) as file:
        for name, value in members.items():
            file.writestr(f"{name}.npy", value if isinstance(value, bytes) else npy(value))
    return path


def examples(n: int = 20) -> dict:
    rng = np.random.default_rng(0)
    return {"X": rng.normal(size=(n, 3)), "y": np.arange(n) % 2}


def refusal(read, path, error=ValueError) -> str:
    """What a reader says of a file, which has to be ours."""
    with pytest.raises(error, match=r"^`") as caught:
        read(path)
    return str(caught.value)


def test_what_no_archive_holds_is_named(tmp_path):
    path, good = tmp_path / "a.npz", examples()
    cases = {
        "is no array": {**good, "note": b"read me"},
        "Python objects": {**good, "names": np.array([{}, []], dtype=object)},
        "of version (3, 0)": {**good, "z": npy(0.0).replace(b"NUMPY\1", b"NUMPY\3")},
        "in categories": {**good, "categories": np.array(["[1", "", ""])},
        "lists of names": {**good, "categories": np.array(["{}", "[[1]]", ""])},
        "yes or no": {**good, "is_test": np.array(["no"] * 20)},
        "at least one split": {**good, "split_is_train": np.zeros((0, 20), bool)},
        "with numbers in them": {**good, "X": np.zeros((20, 0))},
        "real numbers": {**good, "X": np.zeros((20, 3), complex)},
        "infinite": {**good, "X": np.full((20, 3), np.inf)},
        "finite target": {**good, "y": np.full(20, np.nan)},
        "one label or number": {**good, "y": np.zeros(20, "M8[s]")},
        "(-20, 3)": {**good, "X": npy(good["X"], **{"(20, 3)": "(-20,3)"})},
        "(20, 4)": {**good, "X": npy(good["X"], **{"(20, 3)": "(20, 4)"})},
    }
    for said, members in cases.items():
        archive(path, **members)
        assert said in refusal(load_file, path), said


def test_an_archive_that_holds_a_name_twice_is_refused(tmp_path):
    path = archive(tmp_path / "a.npz", **examples())
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as file:
        file.writestr("y.npy", npy(np.zeros(20)))
    assert "holds 'y' twice" in refusal(load_file, path)


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [(8, 1, "'X' is encrypted"), (10, 99, "compressed by method 99"), (10, 14, "by method 14")],
)
def test_encrypted_and_unknown_members_are_refused(at, value, said, tmp_path):
    path = archive(tmp_path / "a.npz", **examples())
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + at : entry + at + 2] = struct.pack("<H", value)
    path.write_bytes(content)
    assert said in refusal(load_file, path)


def test_what_an_archive_declares_is_not_allocated(tmp_path):
    path = tmp_path / "a.npz"
    huge = npy(np.zeros((20, 3)), **{"(20, 3)": "(100000000000,)"})
    archive(path, X=huge, y=np.zeros(20))
    tracemalloc.start()
    try:
        assert "(100000000000,)" in refusal(load_file, path)
        archive(path, zipfile.ZIP_DEFLATED, **examples(), z=b"\0" * 2**22)
        content = bytearray(path.read_bytes())
        entry = content.rindex(b"PK\x01\x02")
        content[entry + 24 : entry + 28] = struct.pack("<I", 2**31)
        path.write_bytes(content)
        assert "would grow to 2.0 GiB" in refusal(load_file, path)
        assert tracemalloc.get_traced_memory()[1] < 2**25
    finally:
        tracemalloc.stop()


def test_what_does_not_fit_is_refused_by_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr("overparam._memory.available", lambda device: 100)
    pd.DataFrame(np.zeros((20, 3)), columns=list("abc")).to_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text("a,b\n" + "1,2\n" * 50)
    for path in (archive(tmp_path / "a.npz", **examples()), *tmp_path.glob("a.[cp]*")):
        assert "100 bytes available" in refusal(load_file, path, MemoryError)


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".parquet"])
def test_what_is_no_file_is_named_and_not_waited_for(suffix, tmp_path):
    path = tmp_path / f"pipe{suffix}"
    os.mkfifo(path)
    assert "a pipe" in refusal(load_file, path)
    path = tmp_path / f"device{suffix}"
    path.symlink_to("/dev/zero")
    assert "a device" in refusal(load_file, path)
    path = tmp_path / f"folder{suffix}"
    path.mkdir()
    assert "a directory" in refusal(load_file, path)
    path = tmp_path / f"empty{suffix}"
    path.touch()
    refusal(load_file, path)
    if suffix != ".npz":
        for name in ("pipe", "device", "folder", "empty"):
            refusal(read_frame, tmp_path / f"{name}{suffix}")


TABLES = {
    "one field more in each row": ("a,y\n1,2,3\n4,5,6\n", "3 fields in line 2"),
    "one field more in a row": ("a,y\n1,2\n4,5,6\n", "3 fields in line 3"),
    "a row cut short": ("a,b,y\n1,2,3\n4,5\n", "2 fields in line 3"),
    "a name twice": ("a,a,y\n1,2,3\n", "['a'] twice"),
    "empty": ("", "cannot be read"),
    "only a header": ("a,y\n", "at least one row"),
    "only line ends": ("\n\n\n", "cannot be read"),
    "binary": ("\x89PNG\r\n\x1a\n\0\0\0", "NUL characters"),
    "a quote without end": ('a,y\n"1,2\n3,4\n', ""),
    "a field without end": ("a,y\n" + "x" * 200_000 + ",1\n", "field larger than"),
    "numbers for names": ("1.5,2.5\n1,2\n", "column names in the first line"),
    "infinity": ("a,y\n" + "1e999,1\n2,3\n" * 20, "finite numbers"),
    "infinity beside gaps": ("a,b,y\n" + "-1e999,1,1\n,2,3\n2,3,3\n" * 20, "finite numbers"),
}


@pytest.mark.parametrize(("text", "said"), TABLES.values(), ids=TABLES)
def test_a_text_that_is_no_table_is_refused(text, said, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8")
    assert said in refusal(load_file, path)


def test_utf_8_that_is_damaged_is_not_taken_for_another_encoding(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes("straße,größe,y\n1,2,3\n".encode() + b"\xff,1,1\n")
    assert "UTF-8 that is damaged, at byte 24" in refusal(load_file, path)


@pytest.mark.parametrize(
    "text",
    [
        "a,y\n1,2,\n3,4,\n",  # a separator at the end of each row
        "\ufeffa,y\r\n1,2\r\n\r\n3,4\r\n",
        'a;y\n"1";2\n3;4\n',
        'a,y\n"1",2\n3,4',
    ],
)
def test_a_table_that_is_odd_but_plain_is_read_as_it_stands(text, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8", newline="")
    frame = read_frame(path)
    assert frame.to_dict("list") == {"a": ["1", "3"], "y": ["2", "4"]}
    assert list(frame.index) == [0, 1]


def changed(content: bytes, rng: random.Random) -> bytes:
    """The bytes of a file, some of them changed, moved, removed or repeated."""
    out = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        place, size = rng.randrange(len(out) or 1), rng.choice((1, 2, 4, 16, 200))
        how = rng.randrange(6)
        if how == 0:
            del out[place:]
        elif how == 1:
            del out[place : place + size]
        elif how == 2:
            out[place:place] = out[place : place + size]
        elif how == 3:
            out[place : place + 4] = rng.choice((b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f"))
        else:
            out[place : place + 1] = bytes([rng.randrange(256)])
    return bytes(out)


def rewritten(path, rng: random.Random) -> None:
    """An archive that is sound as such, with hostile members."""
    good = {**examples(), "class_names": np.array(["no", "yes"])}
    good |= {"feature_names": np.array(["a", "b", "c"]), "categories": np.array(["", "", ""])}
    shapes = [(20,), (20, 3), (3,), (), (0,), (1,), (20, 0), (20, 1, 1, 1, 1), (2, 20)]
    dtypes = ["f8", ">f4", "f2", "i1", ">i8", "u8", "?", "c8", "U3", "S2", "M8[s]", "V4", "O"]
    for name in rng.sample([*good, "is_test", "split", "split_is_train", "task"], 2):
        numbers = np.zeros(rng.choice(shapes), rng.choice(dtypes))
        if numbers.size and rng.random() < 0.5 and numbers.dtype.kind != "V":
            numbers.flat[0] = 1
        good[name] = numbers
        if numbers.dtype.kind in "US" and rng.random() < 0.5:
            good[name] = np.full(numbers.shape, rng.choice(["[1", "NaN", "[[]]", "{}", "nan"]))
        if rng.random() < 0.3:
            content = npy(numbers)
            edge = rng.randrange(len(content))
            good[name] = content[:edge] + changed(content[edge:] or b"\0", rng)
    archive(path, rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)), **good)


def tried(read, path) -> bool:
    """Whether a reader reads a file; otherwise the refusal has to be ours."""
    try:
        read(path)
    except (ValueError, MemoryError) as error:
        if not str(error).startswith("`"):
            raise
        return False
    return True


def check(path) -> None:
    data = load_file(path)
    for y in (data.y_train, data.y_test):
        assert np.isfinite(y).all()
    assert not np.isinf(data.x_train.astype(float)).any()


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.filterwarnings("ignore:.*left out:UserWarning")
def test_a_damaged_archive_is_a_data_set_or_one_clear_error(part, tmp_path):
    rng, path = random.Random(part), tmp_path / "a.npz"
    np.savez_compressed(path, **examples(), class_names=["no", "yes"], categories=["", "", ""])
    sound, read = path.read_bytes(), 0
    for count in range(EXAMPLES // PARTS):
        if count % 2:
            path.write_bytes(changed(sound, rng))
        else:
            rewritten(path, rng)
        read += tried(check, path)
    assert read < EXAMPLES // PARTS  # some are refused


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.filterwarnings("ignore:.*left out:UserWarning")
def test_a_damaged_table_is_a_data_set_or_one_clear_error(suffix, tmp_path):
    rng, path = random.Random(suffix), tmp_path / f"a{suffix}"
    frame = pd.DataFrame({"a": np.arange(30) % 7 / 2, "b": list("xyz") * 10, "y": [0, 1] * 15})
    frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)
    sound, read = path.read_bytes(), 0
    for _ in range(EXAMPLES // PARTS):
        path.write_bytes(changed(sound, rng))
        read += tried(check, path)
        read += tried(read_frame, path)
    assert read < 2 * (EXAMPLES // PARTS)


def test_no_file_runs_code(tmp_path):
    class Boom:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    path = archive(tmp_path / "a.npz", **examples(), z=np.array([Boom()], dtype=object))
    refusal(load_file, path)
    path.write_bytes(pickle.dumps(Boom()))
    refusal(load_file, path)
    assert not (tmp_path / "ran").exists()
