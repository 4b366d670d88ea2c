"""Two processes that train together, of which one measures."""

import os
import subprocess
import sys
import textwrap

import pandas as pd
import pytest
import torch

distributed = pytest.importorskip("torch.distributed")
pytestmark = pytest.mark.skipif(
    not (distributed.is_available() and distributed.is_gloo_available()), reason="needs gloo"
)

TRAIN = """
    import math, sys
    import torch
    from torch import nn
    from torch.nn.parallel import DistributedDataParallel
    from overparam.dynamics import Monitor

    rank, folder = int(sys.argv[1]), sys.argv[2]
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    loss = nn.MSELoss()
    for watched in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, 1))
        model = DistributedDataParallel(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        record = f"{folder}/run-{rank}.jsonl" if watched else None
        monitor = Monitor(model, loss, optimizer, max_overhead=math.inf, file=record)
        torch.manual_seed(rank + 1)
        x, y = torch.randn(8, 16, 6), torch.randn(8, 16, 1)
        for inputs, targets in zip(x, y):
            optimizer.zero_grad()
            value = loss(model(inputs), targets)
            value.backward()
            if watched:
                monitor.step(value, batch=(inputs, targets))
            optimizer.step()
        monitor.close()
        kept = {"weights": model.state_dict(), "random": torch.get_rng_state()}
        torch.save(kept, f"{folder}/left-{rank}-{watched}.pt")
        monitor.history.to_csv(f"{folder}/history-{rank}-{watched}.csv")
"""


SHARD = """
    import warnings
    from torch.distributed.fsdp import fully_shard

    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1))
    fully_shard(model, mesh=torch.distributed.init_device_mesh("cpu", (2,)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        monitor = Monitor(model, loss, optimizer, max_overhead=math.inf)
    told = [str(w.message) for w in caught]
    x, y = torch.randn(16, 6), torch.randn(16, 1)
    for _ in range(3):
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        monitor.step(value, batch=(x, y))
        optimizer.step()
    kept = {"told": told, "columns": list(monitor.history.columns), "rows": len(monitor.history)}
    torch.save(kept, f"{folder}/sharded-{rank}.pt")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where both processes left what they had."""
    folder = tmp_path_factory.mktemp("together")
    script = folder / "train.py"
    script.write_text(textwrap.dedent(TRAIN) + textwrap.dedent(SHARD))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-W", "ignore", str(script)]
    both = [
        subprocess.Popen([*command, str(rank), str(folder)], env=environment) for rank in (0, 1)
    ]
    try:
        assert [process.wait(timeout=240) for process in both] == [0, 0]
    finally:
        for process in both:
            process.kill()
    return folder


def test_one_process_measures_and_nobody_waits(folder):
    for rank in (0, 1):
        plain, watched = (
            torch.load(folder / f"left-{rank}-{how}.pt", weights_only=True) for how in (False, True)
        )
        assert torch.equal(plain["random"], watched["random"])
        for name, value in plain["weights"].items():
            assert torch.equal(value, watched["weights"][name]), name
    first, second = (pd.read_csv(folder / f"history-{rank}-True.csv") for rank in (0, 1))
    assert first["sharpness"].notna().sum() == 8
    assert first["kernel_change"].notna().sum() == 8
    assert len(second) == 0
    assert (folder / "run-0.jsonl").exists()
    assert not (folder / "run-1.jsonl").exists()


def test_of_sharded_parameters_only_the_loss_is_kept(folder):
    kept = [torch.load(folder / f"sharded-{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert any("sharded over processes" in text for text in kept[0]["told"])
    assert (kept[0]["columns"], kept[0]["rows"]) == (["loss", "lr"], 3)
