"""A vertical split between processes: what crosses, and what becomes of a peer that dies."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from overparam.federated.vertical import (
    DPZV,
    PrivacySpec,
    VerticalData,
    join_vertical,
    serve_vertical,
    train_vertical,
)

pytestmark = pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()),
    reason="torch has no gloo here",
)
N, BATCH, EPOCHS, R, WIDTHS = 30, 12, 2, 2, (2, 3)

# Every message of this process is told by the lowest call there is, as bytes.
JOB = """
import datetime, json, os, sys, torch
import torch.distributed as dist
from tests_problem import *
seen = []
for name in ("isend", "irecv"):
    def told(content, peer, *a, _do=getattr(dist, name), _name=name, **k):
        seen.append([_name, peer, content.numel() * content.element_size()])
        if len(seen) == int(os.environ.get("DIE_AT", -1)):
            os.kill(os.getpid(), int(os.environ["DIE_BY"]))
        return _do(content, peer, *a, **k)
    setattr(dist, name, told)
dist.init_process_group("gloo", timeout=datetime.timedelta(seconds=100))
found = work(dist.get_rank(), float(os.environ.get("TIMEOUT", 100)))
torch.save(found, sys.argv[1])
print(json.dumps(seen))
dist.destroy_process_group()
"""
PROBLEM = f"""
import torch
from torch import nn
from overparam.federated.vertical import *
import torch.distributed as dist
def problem():
    draw = torch.Generator().manual_seed(0)
    x = torch.randn({N}, 4, generator=draw)
    y = (x.sum(1) > 0).long()
    torch.manual_seed(0)
    parties = [nn.Linear(2, {WIDTHS[0]}), nn.Linear(2, {WIDTHS[1]})]
    method = DPZV(lr=0.05, directions={R}, privacy=PrivacySpec(epsilon=5.0, delta=1e-3))
    return x, y, parties, nn.Linear({sum(WIDTHS)}, 2), method
def work(rank, timeout):
    x, y, parties, head, method = problem()
    if dist.get_world_size() == 2:
        head = nn.Linear({WIDTHS[0]}, 2)
    more = dict(epochs={EPOCHS}, batch_size={BATCH}, timeout=timeout)
    if rank == 0:
        done = serve_vertical(
            head, y, method, test_y=y[:5], secure_noise=False, progress=False, **more
        )
        return done.head | {{"accuracy": torch.tensor(done.history["test_accuracy"].to_numpy())}}
    own = x[:, :2] if rank == 1 else x[:, 2:]
    return join_vertical(parties[rank - 1], own, method, test_x=own[:5], **more)
"""


@pytest.fixture
def job(tmp_path):
    """Start a server and two parties; each may be told to die at a message."""
    (tmp_path / "tests_problem.py").write_text(PROBLEM, encoding="utf-8")
    (tmp_path / "job.py").write_text(JOB, encoding="utf-8")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    running = []

    def start(rank, **more):
        told = {
            **os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank),
            "WORLD_SIZE": "3", "GLOO_SOCKET_IFNAME": "lo",
            "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]), **more,
        }  # fmt: skip
        words = [sys.executable, str(tmp_path / "job.py"), str(tmp_path / f"{rank}.pt")]
        if "TEXT" in more:
            words = [sys.executable, "-c", more["TEXT"]]
        running.append(
            subprocess.Popen(
                words, env=told, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
        return running[-1]

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=60)


def test_between_processes_it_is_the_same_and_only_scalars_go_down(job, tmp_path):
    processes = [job(rank) for rank in range(3)]
    ends = [process.communicate(timeout=200) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], ends
    seen = [json.loads(out) for out, _ in ends]
    steps = EPOCHS * -(-N // BATCH)
    for party, width in enumerate(WIDTHS):
        # Down: a number for each direction of each batch, noised, in double precision.
        down = [size for name, peer, size in seen[0] if (name, peer) == ("isend", party + 1)]
        assert down == [8 * R] * steps
        # Up: settings, embeddings, tests before and after each epoch, pairs for each batch.
        pairs = [
            [2 * R * rows * width * 4 for rows in (BATCH, BATCH, N - 2 * BATCH)]
            + [5 * width * 4]
        ] * EPOCHS  # fmt: skip
        up = [size for name, _, size in seen[party + 1] if name == "isend"]
        assert up == [
            5 * 8,
            N * width * 4,
            5 * width * 4,
            *(size for epoch in pairs for size in epoch),
        ]
        received = [size for name, _, size in seen[party + 1] if name == "irecv"]
        assert received == down
        assert {peer for _, peer, _ in seen[party + 1]} == {0}  # no party hears another
    space: dict = {}
    exec(PROBLEM, space)
    x, y, parties, head, method = space["problem"]()
    whole = train_vertical(
        parties, head, VerticalData([x[:, :2], x[:, 2:]], y), method, epochs=EPOCHS,
        batch_size=BATCH, test=VerticalData([x[:5, :2], x[:5, 2:]], y[:5]), progress=False,
    )  # fmt: skip
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(3)]
    accuracy = found[0].pop("accuracy")
    assert accuracy.tolist() == whole.history["test_accuracy"].tolist()
    for ours, theirs in zip(found, [whole.head, *whole.parties], strict=True):
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(
    ("by", "timeout", "told"),
    [
        (signal.SIGKILL, "100", "party 0 to take 'scalar', got a connection that was closed"),
        (signal.SIGSTOP, "3", "got nothing for 3 s"),  # a slow peer is told the same way
    ],
)
def test_a_peer_that_dies_ends_the_server_in_one_clear_error(job, by, timeout, told):
    server = job(0, WORLD_SIZE="2", TIMEOUT=timeout)
    job(1, WORLD_SIZE="2", TIMEOUT=timeout, DIE_AT="6", DIE_BY=str(int(by)))
    _, error = server.communicate(timeout=200)
    assert server.returncode == 1
    lines = [line for line in error.splitlines() if "overparam.errors." in line]
    assert len(lines) == 1, error
    assert told in lines[0].replace("to send 'pair', got a", "to take 'scalar', got a")


def test_the_job_of_the_page_runs(job, tmp_path):
    page = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "vertical-split.md"
    (text,) = re.findall(r"^```python\n(# job.py\n.*?)^```$", page.read_text("utf-8"), re.M | re.S)
    first = job(0, WORLD_SIZE="2", TEXT=text)
    job(1, WORLD_SIZE="2", TEXT=text)
    out, error = first.communicate(timeout=200)
    assert first.returncode == 0, error
    assert "epsilon" in out


def test_without_a_group_both_say_what_to_do():
    method = DPZV()
    with pytest.raises(RuntimeError, match=r"a gloo group(.|\n)*torchrun"):
        join_vertical(nn.Linear(2, 2), torch.ones(4, 2), method, epochs=1, batch_size=2)
    with pytest.raises(RuntimeError, match="no group"):
        serve_vertical(nn.Linear(2, 2), torch.ones(4).long(), method, epochs=1, batch_size=2)


def test_a_batch_by_coin_may_be_empty():
    # 4 examples in batches of 1 by coin: (3/4)^4, a third, of the batches are empty.
    pytest.importorskip("dp_accounting")
    promise = PrivacySpec(epsilon=5.0, delta=1e-3, amplification="poisson")
    data = VerticalData([torch.ones(4, 2)], torch.tensor([0, 1, 0, 1]))
    run = train_vertical(
        [nn.Linear(2, 2)], nn.Linear(2, 2), data, DPZV(privacy=promise), epochs=2, batch_size=1,
        progress=False,
    )  # fmt: skip
    assert run.history["releases"].iloc[-1] == 2 * 4 * 2
