"""A monitor's numbers where the users of trackers look for them, without a network."""

import math
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from overparam.dynamics import Monitor
from overparam.dynamics.probes import Norms, Sharpness

MSE = nn.functional.mse_loss
pytestmark = pytest.mark.filterwarnings("ignore")


def train(sink) -> Monitor:
    torch.manual_seed(0)
    model = nn.Linear(6, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(16, 6), torch.randn(16, 1)
    monitor = Monitor(
        model, MSE, optimizer, probes=[Norms(), Sharpness()], max_overhead=math.inf, sink=sink
    )
    for _ in range(3):
        optimizer.zero_grad()
        value = MSE(model(x), y)
        value.backward()
        monitor.step(value, batch=(x, y))
        optimizer.step()
    return monitor


def log_records(data: bytes) -> Iterator[bytes]:
    """The records of a log as LevelDB writes it, in blocks of 32 KiB after seven bytes."""
    at, parts = 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:  # too short for a head
            at += 32768 - at % 32768
            continue
        length, kind = struct.unpack("<HB", data[at + 4 : at + 7])
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


@pytest.fixture
def offline_run(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    yield wandb.init(project="test", dir=tmp_path, mode="offline")
    wandb.teardown()


def rows(run, folder) -> list[dict[str, float]]:
    """The rows of a run as its file holds them, once it is finished."""
    import wandb
    from wandb.proto import wandb_internal_pb2

    run.finish()
    wandb.teardown()  # its own process writes the file; it has now ended
    (file,) = Path(folder).glob("wandb/offline-run-*/run-*.wandb")
    found = []
    for data in log_records(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        items = record.history.item
        if items:
            found.append({i.key or "/".join(i.nested_key): float(i.value_json) for i in items})
    return found


def test_an_offline_run_of_wandb_holds_them(offline_run, tmp_path):
    from overparam.integrations.wandb import WandbSink

    monitor = train(WandbSink(offline_run))
    found = {
        int(row["dyn/step"]): row["dyn/sharpness"]
        for row in rows(offline_run, tmp_path)
        if "dyn/sharpness" in row
    }
    assert found == pytest.approx(monitor.history["sharpness"].to_dict())


@pytest.mark.parametrize("every", [1, 4])
def test_rows_of_the_user_s_keep_their_steps_and_nothing_is_lost(offline_run, tmp_path, every):
    from overparam.integrations.wandb import WandbSink

    sink = WandbSink(offline_run)
    for step in range(8):
        sink({"sharpness": step / 8}, step)
        if step % every == every - 1:
            offline_run.log({"mine": step / 10}, step=step // every)
    assert offline_run.step == 8 // every - 1
    found = rows(offline_run, tmp_path)
    mine = {row["_step"]: row["mine"] for row in found if "mine" in row}
    assert mine == {n: (every * n + every - 1) / 10 for n in range(8 // every)}
    told = {row["dyn/step"]: row["dyn/sharpness"] for row in found if "dyn/step" in row}
    assert told == {step: step / 8 for step in range(8)}
    assert sum("dyn/step" in row for row in found) == 8


def test_a_local_store_of_mlflow_holds_them(tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setitem(os.environ, "DO_NOT_TRACK", "true")
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    pytest.importorskip("sqlalchemy", reason="sqlalchemy is not installed")
    from overparam.integrations.mlflow import MLflowSink

    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/runs.db")
    requests = []
    log = client.log_batch
    monkeypatch.setattr(client, "log_batch", lambda *a, **k: (requests.append(a), log(*a, **k)))
    experiment = client.create_experiment("test", artifact_location=str(tmp_path))
    run = client.create_run(experiment)
    monitor = train(MLflowSink(run.info.run_id, client))
    found = client.get_metric_history(run.info.run_id, "dyn/sharpness")
    assert {m.step: m.value for m in found} == pytest.approx(monitor.history["sharpness"].to_dict())
    assert client.get_run(run.info.run_id).data.metrics["dyn/lr"] == 0.1
    assert len(requests) == len(monitor.history)
