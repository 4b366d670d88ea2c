"""A word that names no cluster is one clear line, in bounded time."""

import socket
import sys
from threading import Thread

import pytest
import torch
from threadpoolctl import threadpool_info

from overparam import cli
from overparam._threads import compute_on, threads_kept
from overparam.cluster import connect, on_cluster

STUDY = "liu2020_kernel_constancy"


def said(capsys, *words):
    """What the command line answers, which must be one line and status 2."""
    assert cli.main(["study", "run", STUDY, "--size", "smoke", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize("word", ["there", "", "tcp://", "tcp://host", "http://host:80", "ray://x"])
def test_a_word_that_is_no_address(capsys, word):
    assert f"`cluster {word}` expected local, ray, ray://" in said(capsys, "--cluster", word)


@pytest.mark.parametrize("text", ["", "{}", "[3]", '{"address": 3}', "[" * 100_000])
def test_a_file_that_no_scheduler_wrote(capsys, tmp_path, text):
    file = tmp_path / "scheduler.json"
    file.write_text(text)
    pytest.importorskip("distributed", reason="Dask is not installed")
    assert "a file that a Dask scheduler wrote" in said(capsys, "--cluster", str(file))


def greet(server, greeting):
    with server.accept()[0] as client:
        client.sendall(greeting)


@pytest.mark.parametrize(
    ("greeting", "answer"),
    [
        (None, "refused"),
        (b"", "no answer within 0.2 seconds"),
        (b"SSH-2.0-OpenSSH_9.2", "no Dask scheduler"),
    ],
)
def test_nothing_or_something_else_at_the_address(capsys, monkeypatch, greeting, answer):
    pytest.importorskip("distributed", reason="Dask is not installed")
    monkeypatch.setattr(connect, "SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        if greeting is None:
            server.close()
        elif greeting:
            Thread(target=greet, args=(server, greeting), daemon=True).start()
        assert answer in said(capsys, "--cluster", f"tcp://{host}:{port}")


@pytest.mark.parametrize(
    ("word", "package"),
    [("local", "distributed"), ("tcp://h:1", "distributed"), ("ray", "ray")],
)
def test_the_extra_to_install_is_named(capsys, monkeypatch, word, package):
    monkeypatch.setitem(sys.modules, package, None)
    assert "pip install 'overparam[cluster]'" in said(capsys, "--cluster", word)


def test_jobs_are_the_clusters_own():
    pytest.importorskip("distributed", reason="Dask is not installed")
    with pytest.raises(ValueError, match="no number of jobs"), on_cluster("tcp://h:1", n_jobs=2):
        pass


def test_threads_are_limited_everywhere_and_put_back():
    before = torch.get_num_threads(), threadpool_info()
    with threads_kept():
        compute_on(1)
        assert {pool["num_threads"] for pool in threadpool_info()} == {1}
        assert torch.get_num_threads() == 1
    assert (torch.get_num_threads(), threadpool_info()) == before
