"""The kernel in a file: the same numbers as in memory, also after being killed at any moment."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from torch import nn

from overparam.errors import NumericalError
from overparam.tangents import (
    empirical_ntk,
    empirical_ntk_blocks,
    empirical_ntk_blocks_to_file,
    empirical_ntk_to_file,
    sum_of_logits_ntk,
    sum_of_logits_ntk_to_file,
)
from overparam.tangents import out_of_core as module_under_test

IN_MEMORY = {
    "trace": empirical_ntk,
    "blocks": empirical_ntk_blocks,
    "sum_of_logits": sum_of_logits_ntk,
}
TO_FILE = {
    "trace": empirical_ntk_to_file,
    "blocks": empirical_ntk_blocks_to_file,
    "sum_of_logits": sum_of_logits_ntk_to_file,
}


def network(outputs: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, outputs)).double()


def convolution() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 5, 2), nn.Flatten(),
        nn.Linear(20, 3),
    ).double()  # fmt: skip


def examples(n: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(n, 5, generator=torch.Generator().manual_seed(seed)).double()


def lines(path: Path) -> list[dict]:
    journal = path.with_name(path.name + ".journal")
    return [json.loads(line) for line in journal.read_text().splitlines()]


@pytest.mark.parametrize("kind", list(IN_MEMORY))
@pytest.mark.parametrize("rows", [None, 5])
@pytest.mark.parametrize("tile", [1, 3, 100, None])
def test_equals_the_kernel_in_memory(tmp_path, kind, rows, tile):
    model, x = network(), examples(7)
    z = None if rows is None else examples(rows, 2)
    kernel = TO_FILE[kind](model, x, z, path=tmp_path / "K.npy", tile=tile)
    expected = IN_MEMORY[kind](model, x, z).numpy()
    assert kernel.shape == expected.shape
    assert kernel.dtype == np.float64
    np.testing.assert_allclose(kernel, expected, rtol=1e-12, atol=1e-12)
    assert isinstance(kernel, np.memmap)
    assert not kernel.flags.writeable
    assert sorted(p.name for p in tmp_path.iterdir()) == ["K.npy", "K.npy.journal"]


@pytest.mark.parametrize("kind", ["trace", "blocks"])
def test_convolutions_one_output_and_a_subset_of_parameters(tmp_path, kind):
    x = torch.randn(7, 2, 6, 6, generator=torch.Generator().manual_seed(0)).double()
    settings = {"names": ["0.weight", "3.bias"]}
    path = tmp_path / "K.npy"
    kernel = TO_FILE[kind](convolution(), x, path=path, tile=3, **settings)
    expected = IN_MEMORY[kind](convolution(), x, **settings).numpy()
    np.testing.assert_allclose(kernel, expected, rtol=1e-11, atol=1e-12)


def test_an_output_without_an_axis_and_inputs_by_name(tmp_path):
    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(5, 1).double()

        def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
            return (self.a(left) * self.a(right))[:, 0]

    torch.manual_seed(0)
    model, x = Product(), {"left": examples(5), "right": examples(5, 2)}
    kernel = empirical_ntk_to_file(model, x, path=tmp_path / "K.npy", tile=2)
    np.testing.assert_allclose(kernel, empirical_ntk(model, x).numpy(), rtol=1e-12)


def test_exactly_symmetric(tmp_path):
    x = examples(11)
    kernel = empirical_ntk_blocks_to_file(network(), x, path=tmp_path / "K.npy", tile=4)
    assert np.array_equal(kernel, kernel.transpose(1, 0, 3, 2))


def test_memory_bounds_what_is_held(tmp_path, monkeypatch):
    model, x = network(), examples(12)
    expected = empirical_ntk(model, x).numpy()
    made = []
    held = module_under_test.TileMaker._bytes
    monkeypatch.setattr(
        module_under_test.TileMaker, "_bytes", lambda s, i: made.append(held(s, i)) or made[-1]
    )
    kernel = empirical_ntk_to_file(model, x, path=tmp_path / "a.npy", memory=2000)
    np.testing.assert_allclose(kernel, expected, rtol=1e-12)
    assert 1 <= int(lines(tmp_path / "a.npy")[0]["identity"]["tile"]) < 12
    assert max(made) <= 2000


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_jobs_of_any_back_end_give_the_same_numbers(tmp_path, backend):
    model, x = network(), examples(13)
    if backend == "loky":
        with joblib.parallel_config(backend="loky"):
            kernel = empirical_ntk_to_file(model, x, path=tmp_path / "K.npy", tile=4, n_jobs=2)
    else:
        kernel = empirical_ntk_to_file(model, x, path=tmp_path / "K.npy", tile=4, n_jobs=1)
    np.testing.assert_allclose(kernel, empirical_ntk(model, x).numpy(), rtol=1e-12, atol=1e-12)


CHILD = """
import sys, time, torch
from overparam.tangents import empirical_ntk_to_file
from overparam.tangents.engine import gram_file

torch.set_num_threads(1)
write = gram_file.GramFile.write
def slowly(*args):
    write(*args)
    time.sleep(0.02)
gram_file.GramFile.write = slowly
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 3)).double()
x = torch.randn(32, 5, generator=torch.Generator().manual_seed(1)).double()
empirical_ntk_to_file(model, x, path=sys.argv[1], tile=2)
"""


def test_killed_half_way_and_resumed_in_the_same_bits(tmp_path):
    path, whole = tmp_path / "K.npy", tmp_path / "whole.npy"
    journal = tmp_path / "K.npy.journal"
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)], env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    try:
        while not (journal.exists() and journal.read_bytes().count(b"\n") > 20):
            assert process.poll() is None, "the child ended before it could be killed"
            time.sleep(0.001)
    finally:
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    finished = len(lines(path)) - 1
    assert 20 <= finished < 136
    assert not path.exists()

    computed = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with pytest.MonkeyPatch.context() as patch:
            strip = module_under_test.TileMaker.strip
            patch.setattr(
                module_under_test.TileMaker, "strip", lambda *a: computed.append(1) or strip(*a)
            )
            resumed = empirical_ntk_to_file(network(), examples(32), path=path)  # its tile: 2
        expected = empirical_ntk_to_file(network(), examples(32), path=whole, tile=2)
    finally:
        torch.set_num_threads(threads)
    assert len(computed) == 136 - finished
    assert np.array_equal(resumed, expected)
    assert path.read_bytes() == whole.read_bytes()


def interrupted(path: Path, tiles: int, **settings) -> None:
    """Stop after so many tiles, as an exception would."""

    class Stop(Exception):
        pass

    write = module_under_test.GramFile.write

    def stopping(self, *args) -> None:
        if len(self.finished) == tiles:
            raise Stop
        write(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module_under_test.GramFile, "write", stopping)
        with pytest.raises(Stop):
            empirical_ntk_to_file(network(), examples(8), path=path, tile=2, **settings)


def test_a_line_cut_off_is_a_tile_not_finished(tmp_path):
    path, journal = tmp_path / "K.npy", tmp_path / "K.npy.journal"
    interrupted(path, 4)
    text = journal.read_bytes()
    journal.write_bytes(text[:-5])
    last = lines_of(text)[-1]["tile"]
    with (tmp_path / "K.npy.part").open("r+b") as file:  # what that tile may have left behind
        part = np.lib.format.open_memmap(file.name, mode="r+")
        part[last[0] * 2, last[1] * 2] = np.nan
        part.flush()
    kernel = empirical_ntk_to_file(network(), examples(8), path=path)
    np.testing.assert_allclose(kernel, empirical_ntk(network(), examples(8)).numpy(), rtol=1e-12)


def lines_of(text: bytes) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("kept", [0, 10])
def test_killed_before_the_first_line(tmp_path, kept):
    path, journal = tmp_path / "K.npy", tmp_path / "K.npy.journal"
    interrupted(path, 0)
    journal.write_bytes(journal.read_bytes()[:kept])
    kernel = empirical_ntk_to_file(network(), examples(8), path=path)
    np.testing.assert_allclose(kernel, empirical_ntk(network(), examples(8)).numpy(), rtol=1e-12)


def test_killed_between_the_last_tile_and_the_name(tmp_path):
    path = tmp_path / "K.npy"
    whole = np.array(empirical_ntk_to_file(network(), examples(8), path=path, tile=2))
    path.rename(tmp_path / "K.npy.part")
    assert np.array_equal(empirical_ntk_to_file(network(), examples(8), path=path), whole)


def test_a_finished_file_is_not_computed_again(tmp_path, monkeypatch):
    path = tmp_path / "K.npy"
    empirical_ntk_to_file(network(), examples(8), path=path)
    monkeypatch.setattr(module_under_test.TileMaker, "strip", None)
    assert empirical_ntk_to_file(network(), examples(8), path=path).shape == (8, 8)


def changed_weights() -> nn.Module:
    model = network()
    with torch.no_grad():
        model[0].bias[0] += 1e-12
    return model


class Relu(nn.ReLU):
    pass


def changed_activation() -> nn.Module:
    model = network()
    model[1] = Relu()
    return model


@pytest.mark.parametrize(
    ("model", "x", "settings", "what"),
    [
        (changed_weights, examples(8), {}, "the model that"),
        (changed_activation, examples(8), {}, "the model that"),
        (network, examples(8, 5), {}, "the data that"),
        (network, examples(8)[:7], {}, "the data that"),
        (network, examples(8), {"x2": examples(8)}, "the data that"),
        (network, examples(8), {"tile": 3}, "the tile that"),
        (network, examples(8), {"names": ["0.bias"]}, "the params that"),
    ],
)
@pytest.mark.parametrize("tiles", [3, None], ids=["unfinished", "finished"])
def test_something_else_is_refused(tmp_path, model, x, settings, what, tiles):
    path = tmp_path / "K.npy"
    if tiles is None:
        empirical_ntk_to_file(network(), examples(8), path=path, tile=2)
    else:
        interrupted(path, tiles)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=what) as caught:
        empirical_ntk_to_file(model(), x, path=path, **settings)
    assert str(caught.value).startswith("`empirical_ntk_to_file(path=...)` expected ")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_the_file_of_another_kernel_is_refused(tmp_path):
    path = tmp_path / "K.npy"
    empirical_ntk_to_file(network(), examples(8), path=path)
    with pytest.raises(ValueError, match="the kind that") as caught:
        sum_of_logits_ntk_to_file(network(), examples(8), path=path)
    assert str(caught.value).startswith("`sum_of_logits_ntk_to_file(path=...)` expected ")


@pytest.mark.untyped("the warning names a line of the caller, and the check stands between")
@pytest.mark.parametrize("kind", list(IN_MEMORY))
def test_a_kind_is_the_function_it_names(tmp_path, kind):
    path, x = tmp_path / "K.npy", examples(4)
    with pytest.warns(DeprecationWarning, match=rf"now `{TO_FILE[kind].__name__}") as caught:
        kernel = empirical_ntk_to_file(network(), x, path=path, kind=kind)
    assert caught[0].filename == __file__
    assert np.array_equal(kernel, TO_FILE[kind](network(), x, path=path))
    with pytest.raises(ValueError, match="did you mean 'trace'"):
        empirical_ntk_to_file(network(), x, path=path, kind="tracee")


def test_a_file_of_unknown_origin_is_left_alone(tmp_path):
    path = tmp_path / "K.npy"
    np.save(path, np.zeros((8, 8)))
    with pytest.raises(ValueError, match="without its journal"):
        empirical_ntk_to_file(network(), examples(8), path=path)
    assert np.load(path).sum() == 0


def test_two_processes_do_not_share_a_file(tmp_path):
    path = tmp_path / "K.npy"
    interrupted(path, 2)
    fcntl = pytest.importorskip("fcntl")
    with (tmp_path / "K.npy.journal").open("a+b") as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        with pytest.raises(OSError, match="no other process"):
            empirical_ntk_to_file(network(), examples(8), path=path)
    empirical_ntk_to_file(network(), examples(8), path=path)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system reserves no space")
def test_a_full_disk_is_an_error_before_work_begins(tmp_path, monkeypatch):
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    monkeypatch.setattr(module_under_test.TileMaker, "strip", None)
    with pytest.raises(OSError, match="No space"):
        empirical_ntk_to_file(network(), examples(8), path=tmp_path / "K.npy")
    assert list(tmp_path.iterdir()) == []


def test_a_tile_that_is_not_finite_is_not_written(tmp_path):
    path, x = tmp_path / "K.npy", examples(8)
    x[7] = 1e200
    with pytest.raises(NumericalError, match=r"1 entries of tile \(3, 3\)"):
        empirical_ntk_to_file(nn.Linear(5, 2).double(), x, path=path, tile=2)
    assert not path.exists()
    done = [line["tile"] for line in lines(path)[1:]]
    assert len(done) == 9
    assert [3, 3] not in done


def test_graph_that_changes_with_the_batch(tmp_path):
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(2, 2).double()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.a(x) if x.sum() > 0 else self.a(self.a(x).tanh())

    torch.manual_seed(0)
    x = torch.tensor([[1.0, 2.0], [-1.0, -3.0], [2.0, 1.0], [-2.0, -1.0], [4.0, 3.0]]).double()
    model = Branching()
    kernel = empirical_ntk_to_file(model, x, path=tmp_path / "K.npy", tile=1)
    expected = empirical_ntk(model, x, chunk_size=1).numpy()
    np.testing.assert_allclose(kernel, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("argument", "settings", "message"),
    [
        ("path", {"path": 3}, "a path, got int"),
        ("path", {"path": "K.txt"}, "ends in .npy"),
        ("path", {"path": "nowhere/K.npy"}, "a folder that exists"),
        ("tile", {"tile": 0}, "an integer ≥ 1"),
        ("tile", {"tile": 2.0}, "an integer ≥ 1"),
        ("memory", {"memory": 0}, "positive number of bytes"),
        ("n_jobs", {"n_jobs": 0}, "a number of jobs"),
        ("names", {"names": ["wieght"]}, "wieght"),
        ("x1", {"x1": examples(0)}, "at least one example"),
        ("x1", {"x1": examples(3) * torch.nan}, "NaN"),
        ("x2", {"x2": examples(0)}, "at least one example"),
        ("x2", {"x2": torch.zeros(2, 4).double()}, "like those of `x1`"),
        ("model", {"model": torch.tanh}, "torch.nn.Module"),
        ("model", {"model": nn.Sequential(nn.Linear(5, 2), nn.Dropout())}, "model.eval()"),
    ],
)
def test_bad_input_is_one_clear_error_and_leaves_no_file(tmp_path, argument, settings, message):
    given = {"model": network(), "x1": examples(4), "path": tmp_path / "K.npy", **settings}
    if given["path"] == "nowhere/K.npy":
        given["path"] = tmp_path / "nowhere/K.npy"
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        empirical_ntk_to_file(given.pop("model"), given.pop("x1"), given.pop("x2", None), **given)
    assert str(caught.value).startswith(f"`empirical_ntk_to_file({argument}=...)` expected ")
    assert list(tmp_path.iterdir()) == []


def test_too_little_memory_is_an_error_before_it_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr("overparam._memory.available", lambda device: 100)
    with pytest.raises(MemoryError, match="memory"):
        empirical_ntk_to_file(network(), examples(8), path=tmp_path / "K.npy")
    assert list(tmp_path.iterdir()) == []
