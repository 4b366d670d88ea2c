import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import overparam.claims.store as module
from overparam.claims.store import CellStore, Stored, default_store

KEY = {"study": "toy", "code": "abc", "parameters": {"width": 8}, "seed": 1, "torch": "2"}


def test_returns_what_was_put_to_the_bit(tmp_path):
    store = CellStore(tmp_path / "cells.sqlite")
    result = {"value": 0.1 + 0.2, "tiny": 5e-324, "curve": [1, 2.5, float("inf")]}
    store.put(KEY, json.dumps(result), 1.5)
    assert CellStore(tmp_path / "cells.sqlite").get(KEY) == Stored(result, 1.5)


@pytest.mark.parametrize("part", KEY)
def test_every_part_of_the_key_counts(tmp_path, part):
    store = CellStore(tmp_path / "cells.sqlite")
    store.put(KEY, "{}", 0.0)
    assert store.get(KEY | {part: {"width": 9} if part == "parameters" else "other"}) is None
    assert store.get(KEY) is not None


def foreign_database(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (title TEXT)")
    connection.close()


def damaged_store(path):
    store = CellStore(path)
    for seed in range(50):
        store.put(KEY | {"seed": seed}, json.dumps({"curve": [0.5] * 50}), 0.0)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\x17" * len(content[4096:])
    path.write_bytes(content)


BAD_FILES = {
    "text": lambda path: path.write_text("width,change\n" * 300),
    "another program's database": foreign_database,
    "damaged store": damaged_store,
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_what_is_no_store_is_refused_and_left_as_it_was(tmp_path, kind):
    path = tmp_path / "cells.sqlite"
    BAD_FILES[kind](path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"`study run --store FILE`.*cells\.sqlite(.|\n)*Hint"):
        CellStore(path).get(KEY)
    assert path.read_bytes() == before


def test_an_impossible_place_is_named(tmp_path):
    for path in (tmp_path, tmp_path / "absent" / "cells.sqlite"):
        with pytest.raises(ValueError, match="a file in a folder that exists"):
            CellStore(path)
    assert not (tmp_path / "absent").exists()


def test_the_default_place_can_be_moved(tmp_path, monkeypatch):
    monkeypatch.setenv("OVERPARAM_CACHE", str(tmp_path / "cache"))
    assert default_store() == tmp_path / "cache" / "cells.sqlite"
    CellStore().put(KEY, "{}", 0.0)
    assert default_store().is_file()


def changed(path, *statements):
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("PRAGMA application_id = 7", "a database of another program"),
        ("PRAGMA user_version = 2", "a store of layout 2, not 1"),
        ("ALTER TABLE cells RENAME TO rows", "no such table"),
        ("ALTER TABLE cells DROP COLUMN seconds", "no such column"),
    ],
)
def test_another_layout_is_told_before_anything_is_computed(tmp_path, statement, said):
    path = tmp_path / "cells.sqlite"
    CellStore(path).put(KEY, "{}", 0.0)
    changed(path, statement)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=said) as caught:
        CellStore(path)
    assert "name another file" in str(caught.value)
    assert "remove" not in str(caught.value)
    assert path.read_bytes() == before


def test_a_database_that_another_program_has_begun_is_not_taken(tmp_path):
    changed(tmp_path / "cells.sqlite", "PRAGMA application_id = 7")
    with pytest.raises(ValueError, match="of another program"):
        CellStore(tmp_path / "cells.sqlite")


@pytest.mark.parametrize(
    "change",
    [
        "result = '{\"value\": 1'", "result = '[1]'", "result = ''", "result = 7",
        "result = x'ff00'", "result = CAST(x'7bff7d' AS TEXT)", "seconds = 'long'",
        "seconds = -1", "seconds = 9e999", "seconds = x'00'",
        f"result = '{'[' * 100_000}'", f"result = '{{\"a\": {'9' * 5000}}}'",
    ],
    ids=lambda change: change[:24],
)  # fmt: skip
def test_a_damaged_row_is_computed_again_and_no_other(tmp_path, change):
    store = CellStore(tmp_path / "cells.sqlite")
    other = KEY | {"seed": 2}
    store.put(KEY, '{"value": 1}', 0.5)
    store.put(other, '{"value": 2}', 0.5)
    changed(store.path, f"UPDATE cells SET {change} WHERE seed = 1")
    assert store.get(KEY) is None
    assert store.get(other) == Stored({"value": 2}, 0.5)
    store.put(KEY, '{"value": 1}', 0.5)
    assert store.get(KEY) == Stored({"value": 1}, 0.5)


def test_a_full_disk_is_called_that_and_what_is_stored_stays(small_disk):
    store = CellStore(small_disk / "cells.sqlite")
    store.put(KEY, '{"value": 1}', 0.5)
    store.expect_writable()
    with pytest.raises(OSError, match=r"a disk with room") as caught:
        store.put(KEY | {"seed": 2}, json.dumps({"curve": "x" * 2_000_000}), 0.5)
    assert "free some space" in str(caught.value)
    assert "remove" not in str(caught.value)
    assert store.get(KEY) == Stored({"value": 1}, 0.5)


def test_a_disk_for_reading_only_is_told_before_cells_are_computed(small_disk):
    CellStore(small_disk / "cells.sqlite").put(KEY, '{"value": 1}', 0.5)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True, timeout=60)
    store = CellStore(small_disk / "cells.sqlite")
    assert store.get(KEY) == Stored({"value": 1}, 0.5)
    with pytest.raises(OSError, match="a store that can be written to") as caught:
        store.expect_writable()
    assert "permissions" in str(caught.value)


def test_another_run_that_holds_the_store_is_waited_for_and_named(tmp_path, monkeypatch):
    store = CellStore(tmp_path / "cells.sqlite")
    connect = sqlite3.connect
    monkeypatch.setattr(module.sqlite3, "connect", lambda path, timeout: connect(path, timeout=0.1))
    other = connect(store.path)
    other.execute("BEGIN EXCLUSIVE")
    for call in (lambda: store.put(KEY, "{}", 0.0), store.expect_writable):
        with pytest.raises(OSError, match="no other run is writing to") as caught:
            call()
        assert "wait for the other run" in str(caught.value)
    other.close()
    store.put(KEY, "{}", 0.0)


def test_a_broken_disk_is_called_that(tmp_path, monkeypatch):
    store = CellStore(tmp_path / "cells.sqlite")

    def broken(path, timeout):
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
        raise error

    monkeypatch.setattr(module.sqlite3, "connect", broken)
    with pytest.raises(OSError, match="disk I/O error") as caught:
        store.get(KEY)
    assert "look at the disk" in str(caught.value)


@pytest.mark.skipif(os.name == "nt", reason="pipes and devices of POSIX")
def test_a_pipe_or_a_device_is_called_by_its_name(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((tmp_path / "pipe", "a pipe"), (Path("/dev/null"), "a device")):
        with pytest.raises(ValueError, match=f"a file in a folder that exists, got .*, {kind}"):
            CellStore(path)
    with pytest.raises(ValueError, match="a folder"):
        CellStore(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="users of POSIX")
@pytest.mark.parametrize("cache", ["", "relative/cache", None])
@pytest.mark.parametrize("home", ["", ".", None])
def test_the_working_directory_is_never_the_default_place(tmp_path, monkeypatch, cache, home):
    import pwd

    monkeypatch.chdir(tmp_path)
    for name, value in (("OVERPARAM_CACHE", ""), ("XDG_CACHE_HOME", cache), ("HOME", home)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    own = Path(pwd.getpwuid(os.getuid()).pw_dir)
    assert default_store().is_relative_to(own)

    def nobody(number):
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with pytest.raises(ValueError, match="a home folder to keep") as caught:
        CellStore()
    assert "OVERPARAM_CACHE" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_cache_folder_that_cannot_be_made_is_told_with_a_way_out(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OVERPARAM_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OSError, match="a cache folder that can be made") as caught:
        CellStore()
    assert "--store" in str(caught.value)
