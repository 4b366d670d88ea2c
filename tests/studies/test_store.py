import json
import sqlite3

import pytest

from overparam.studies._store import CellStore, Stored, default_store

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
