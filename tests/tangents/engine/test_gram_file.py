"""A kernel's file that was cut, replaced, removed or damaged is never taken for the kernel."""

import io
import json
import os
import random
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from overparam.tangents import empirical_ntk_to_file
from overparam.tangents import out_of_core as module_under_test

N, TILE = 7, 2


def kernel(path, **settings):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    x = torch.randn(N, 3, generator=torch.Generator().manual_seed(1)).double()
    return empirical_ntk_to_file(model, x, path=path, **settings)


@pytest.fixture(scope="module")
def right(tmp_path_factory):
    """A folder with a finished kernel and its journal."""
    folder = tmp_path_factory.mktemp("right")
    kernel(folder / "K.npy", tile=TILE)
    return folder


@pytest.fixture
def whole(right):
    """The bytes of the right file."""
    return (right / "K.npy").read_bytes()


@pytest.fixture
def path(right, tmp_path):
    """A finished kernel of this test's own."""
    shutil.copytree(right, tmp_path, dirs_exist_ok=True)
    return tmp_path / "K.npy"


@pytest.fixture
def computed(monkeypatch):
    """Rows of tiles that were computed."""
    rows = []
    strip = module_under_test.TileMaker.strip
    monkeypatch.setattr(
        module_under_test.TileMaker, "strip", lambda *a: rows.append(a[1]) or strip(*a)
    )
    return rows


def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def saved(array, **how):
    file = io.BytesIO()
    np.save(file, array, **how)
    return file.getvalue()


def header(shape="(7, 7)", descr="'<f8'"):
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text = text.ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


OTHERS = {
    "zeros": lambda right: saved(np.zeros((N, N))),
    "another number": lambda right: flipped(right, -20),
    "cut": lambda right: right[:300],
    "cut in the header": lambda right: right[:50],
    "empty": lambda right: b"",
    "longer": lambda right: right + b"\0",
    "other shape": lambda right: saved(np.ones((N, N + 1))),
    "other type": lambda right: saved(np.ones((N, N), np.float32)),
    "transposed order": lambda right: saved(np.asfortranarray(np.arange(49.0).reshape(N, N))),
    "objects": lambda right: saved(np.full((N, N), None), allow_pickle=True),
    "800 GB": lambda right: header(shape="(100000000, 1000)") + right[128:],
    "no header": lambda right: b"\x93NUMPY\x01\x00\x76\x00" + b"(" * 117 + b"\n" + right[128:],
    "header of another kind": lambda right: header(descr="[('a', '<f8')]") + right[128:],
    "header of no version": lambda right: b"\x93NUMPY\x09" + right[7:],
    "text": lambda right: b"my thesis",
}


def flipped_in_place(path, place):
    path.write_bytes(flipped(path.read_bytes(), place))


@pytest.mark.parametrize("other", OTHERS)
def test_another_file_at_the_path_is_refused_and_left_alone(path, whole, other, tmp_path):
    path.write_bytes(OTHERS[other](whole))
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=r"^`empirical_ntk_to_file\(path=...\)` expected K\.npy"):
        kernel(path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("other", OTHERS)
def test_what_a_growing_file_lost_is_computed_again(path, whole, other, tmp_path):
    path.unlink()
    (tmp_path / "K.npy.part").write_bytes(OTHERS[other](whole))
    kernel(path)
    assert path.read_bytes() == whole


def test_a_finished_file_that_was_removed_is_computed_again(path, whole):
    path.unlink()
    kernel(path)
    assert path.read_bytes() == whole
    kernel(path)  # whose journal names every tile twice


def test_only_what_differs_is_computed_again(path, whole, computed, tmp_path):
    flipped_in_place(path, -1)  # of the last tile, on the diagonal
    path.rename(tmp_path / "K.npy.part")
    kernel(path)
    assert computed == [3]
    assert path.read_bytes() == whole


def test_a_tile_that_differs_below_the_diagonal_alone_is_seen(path, whole, computed, tmp_path):
    flipped_in_place(path, 128 + 8 * (N * 6 + 0))  # K[6, 0], whose tile was computed as K[0, 6]
    path.rename(tmp_path / "K.npy.part")
    kernel(path)
    assert computed == [0]
    assert path.read_bytes() == whole


def without_digests(path):
    journal = path.with_name("K.npy.journal")
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        line.pop("sha256", None)
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_file_without_digests_is_refused_when_finished_and_begun_again_otherwise(path, whole):
    without_digests(path)
    with pytest.raises(ValueError, match="nothing vouches for"):
        kernel(path)
    assert path.read_bytes() == whole
    path.rename(path.with_name("K.npy.part"))
    kernel(path)
    assert path.read_bytes() == whole


BAD_FIRST_LINES = [
    b"my diary", b"my diary\n", b"\xff\xfe\n", b"[]\n", b"{}\n", b'{"identity": null}\n',
    b'{"identity": {"tile": 2}}\n', b'{"identity": []}\n', b"[" * 100_000 + b"\n",
    b'{"identity": {"tile": ' + b"9" * 5000 + b"}}\n", b"\n", b"null\n",
    b'{"identity": {"tile": "-1"}}\n', b'{"identity": {"tile": "' + b"9" * 5000 + b'"}}\n',
]  # fmt: skip


@pytest.mark.parametrize("line", BAD_FIRST_LINES, ids=lambda line: line[:24].decode("latin-1"))
@pytest.mark.parametrize("finished", [True, False])
def test_a_damaged_beginning_is_one_clear_error(path, line, finished, tmp_path):
    if not finished:
        path.rename(tmp_path / "K.npy.part")
    journal = tmp_path / "K.npy.journal"
    journal.write_bytes(
        line + b"\n".join(journal.read_bytes().split(b"\n")[1:] if b"\n" in line else [])
    )
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=r"^`empirical_ntk_to_file\(path=...\)` expected "):
        kernel(path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_an_empty_journal_vouches_for_nothing(path):
    path.with_name("K.npy.journal").write_bytes(b"")
    with pytest.raises(ValueError, match="a journal that says what"):
        kernel(path)


BAD_LINES = [
    b"x", b"\xff", b"", b"[]", b"null", b'{"tile": 3}', b'{"tile": ["a", "b"], "sha256": "c"}',
    b'{"tile": [0], "sha256": "0"}', b'{"tile": [0, 0], "sha256": null}',
    b'{"tile": [0, 99999], "sha256": "0"}', b'{"tile": [-1, 0], "sha256": "0"}',
    b'{"tile": [3, 0], "sha256": "0"}', b'{"tile": [0, 0], "sha256": "0"}', b"[" * 100_000,
    b'{"tile": [' + b"9" * 5000 + b', 0], "sha256": "0"}', b'{"tile": [1e3, 0], "sha256": "0"}',
]  # fmt: skip


@pytest.mark.parametrize("line", BAD_LINES, ids=lambda line: line[:24].decode("latin-1"))
def test_a_line_that_says_nothing_is_a_tile_not_finished(path, whole, line, computed, tmp_path):
    path.rename(tmp_path / "K.npy.part")
    journal = tmp_path / "K.npy.journal"
    lines = journal.read_bytes().splitlines()
    journal.write_bytes(b"\n".join([lines[0], *lines[2:], line]) + b"\n")
    kernel(path)
    assert path.read_bytes() == whole
    assert computed == [0]


def complaint(path):
    """What is said of the files, nothing if they are taken or mended."""
    try:
        kernel(path, tile=TILE)
    except ValueError as error:
        return str(error)
    return ""


def test_random_damage_is_never_taken_for_the_kernel(path, whole, tmp_path):
    draw = random.Random(0)
    part, journal = tmp_path / "K.npy.part", tmp_path / "K.npy.journal"
    lines = journal.read_bytes()
    refused = 0
    for _ in range(40):
        for file in (path, part):
            file.unlink(missing_ok=True)
        target = draw.choice([path, part])
        content, noted = bytearray(whole), bytearray(lines)
        damaged = draw.choice([content, noted])
        if draw.random() < 0.3:
            del damaged[draw.randrange(len(damaged)) :]
        for _ in range(draw.choice([0, 1, 5])):
            if damaged:
                damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        target.write_bytes(content)
        journal.write_bytes(noted)
        problem = complaint(path)
        if problem:
            refused += 1
            assert problem.startswith("`empirical_ntk_to_file(path=...)` expected ")
        else:
            assert path.read_bytes()[128:] == whole[128:]
    assert 0 < refused < 40


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
@pytest.mark.parametrize("name", ["K.npy", "K.npy.part", "K.npy.journal"])
def test_a_pipe_is_named_and_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match=f"{name}, which is something else"):
        kernel(tmp_path / "K.npy")
