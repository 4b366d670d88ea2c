"""A monitor beside other processes: what is forked, spawned or copied leaves the record alone."""

import copy
import json
import math
import multiprocessing
import os
import pickle
import warnings

import joblib
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from overparam.dynamics import Monitor

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="fork"),
    # Python's and torch's advice about forks of processes with threads.
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]
LOSS = nn.functional.mse_loss


class Run:
    """Two parameters in training, with everything a monitor can tell someone else."""

    def __init__(self, file):
        torch.manual_seed(0)
        self.model, self.x = nn.Linear(2, 1), torch.randn(12, 2)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        self.told = []
        self.monitor = Monitor(
            self.model,
            LOSS,
            self.optimizer,
            file=file,
            sink=lambda numbers, step: self.told.append(step),
            max_overhead=math.inf,
        )

    def step(self, x=None):
        x = self.x if x is None else x
        self.optimizer.zero_grad()
        loss = LOSS(self.model(x), x[:, :1])
        loss.backward()
        self.monitor.step(loss, batch=(x, x[:, :1]))
        self.optimizer.step()


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "run.jsonl")


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def losses(path):
    return [step for line in lines(path) for step in line.get("steps", ())]


def forked(work):
    """Exit status of a forked process that does some work and ends like any other."""
    child = os.fork()
    if not child:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_forked_process_leaves_the_record_alone(run, tmp_path):
    run.step()
    run.step()  # whose lines may still wait in memory, here and in the copy
    before = (tmp_path / "run.jsonl").read_bytes()

    def everything():
        with warnings.catch_warnings(record=True) as said, run.monitor:
            warnings.simplefilter("always")
            for _ in range(3):
                run.step()
            run.monitor.epoch_end()
            assert "loss" in run.monitor.history
            assert run.monitor.events == []
            run.monitor.state_dict()
        assert len(run.told) == told
        assert len([w for w in said if "watches nothing" in str(w.message)]) == 1

    told = len(run.told)
    assert forked(everything) == 0
    assert (tmp_path / "run.jsonl").read_bytes() == before
    run.step()
    run.monitor.close()
    assert losses(tmp_path / "run.jsonl") == [0, 1, 2]
    assert [sum("begin" in line for line in lines(tmp_path / "run.jsonl")),
            sum("end" in line for line in lines(tmp_path / "run.jsonl"))] == [1, 1]  # fmt: skip


def test_training_in_a_forked_process_is_watched_by_a_monitor_made_there(run, tmp_path):
    def train():
        own = Run(tmp_path / "other.jsonl")
        own.step()
        own.monitor.close()

    run.step()
    assert forked(train) == 0
    assert losses(tmp_path / "other.jsonl") == [0]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_a_loader_change_nothing(run, tmp_path, method):
    loader = DataLoader(
        TensorDataset(run.x),
        batch_size=4,
        num_workers=2 if method == "fork" else 1,  # a new process imports torch first
        multiprocessing_context=method,
        persistent_workers=True,
    )
    for _ in range(2):
        for (x,) in loader:
            run.step(x)
    run.monitor.close()
    assert losses(tmp_path / "run.jsonl") == list(range(6))
    again = Run(tmp_path / "run.jsonl")  # the loader's workers still live
    again.step()
    again.monitor.close()
    assert sum("begin" in line for line in lines(tmp_path / "run.jsonl")) == 2


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pools_of_processes_work_beside_a_monitor(run, tmp_path, method):
    run.step()
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map_async(math.sqrt, [1.0, 4.0, 9.0]).get(timeout=200) == [1.0, 2.0, 3.0]
        run.step()
        # The model goes to another process, the monitor does not.
        assert pool.apply_async(type, (run.model,)).get(timeout=200) is nn.Linear
        with pytest.raises(TypeError, match="`pickle of a Monitor`"):
            pool.apply_async(id, (run.monitor,)).get(timeout=200)
    run.monitor.close()
    assert losses(tmp_path / "run.jsonl") == [0, 1]


def test_joblib_works_beside_a_monitor(run, tmp_path):
    run.step()
    found = joblib.Parallel(n_jobs=2)(joblib.delayed(math.sqrt)(x) for x in (1.0, 4.0))
    assert found == [1.0, 2.0]
    with pytest.raises((TypeError, pickle.PicklingError)) as error:
        joblib.Parallel(n_jobs=2)(joblib.delayed(id)(run.monitor) for _ in range(2))
    assert "`pickle of a Monitor`" in str(error.value) + str(error.value.__cause__)
    run.step()
    run.monitor.close()
    assert losses(tmp_path / "run.jsonl") == [0, 1]


def test_a_monitor_is_not_pickled_and_says_what_to_take_instead(run):
    with pytest.raises(TypeError, match=r"`pickle of a Monitor` .*\n.*state_dict"):
        pickle.dumps(run.monitor)


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy])
def test_a_copy_reads_the_record_and_watches_nothing(run, tmp_path, how):
    run.step()
    history = run.monitor.history
    before = (tmp_path / "run.jsonl").read_bytes()
    twin = how(run.monitor)
    assert twin.history.equals(history)
    with pytest.warns(RuntimeWarning, match="watches nothing"):
        twin.step(torch.tensor(1.0))
    twin.step(torch.tensor(1.0))
    twin.close()
    assert (tmp_path / "run.jsonl").read_bytes() == before
    run.step()
    assert len(run.monitor.history) == 2


def test_a_model_that_holds_its_monitor_is_measured_and_copied(run):
    run.model.monitor = run.monitor
    for _ in range(3):
        run.step()
    assert "kernel_change" in run.monitor.history
    twin = copy.deepcopy(run.model)
    assert torch.equal(twin.weight, run.model.weight)
    assert twin.monitor is not run.monitor


def test_a_monitored_model_is_copied_and_pickled_as_any_other(run):
    run.step()
    for twin in (copy.deepcopy(run.model), pickle.loads(pickle.dumps(run.model))):
        assert torch.equal(twin.weight, run.model.weight)
