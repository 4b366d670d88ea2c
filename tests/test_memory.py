"""How much memory there is: what the system has, or a limit leaves."""

import math
import subprocess
import sys
from contextlib import nullcontext

import psutil
import pytest
import torch

from overparam import _memory, _memory_limits
from overparam._memory import available, expect_room
from overparam.kernels import Laplace, RFMRegressor, fit_ridge
from overparam.tangents import NTKOperator, empirical_ntk, infinite_ntk

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("system", "group", "process", "expected"),
    [
        (100, None, None, 100),
        (None, 50, None, 50),
        (100, 50, None, 50),
        (50, 100, None, 50),
        (100, 50, 20, 20),
        (None, None, None, None),
    ],
)
def test_the_narrowest_bound_counts(monkeypatch, system, group, process, expected):
    monkeypatch.setattr(_memory_limits, "system", lambda: system)
    monkeypatch.setattr(_memory_limits, "control_groups", lambda: group)
    monkeypatch.setattr(_memory_limits, "process", lambda: process)
    assert available(CPU) == expected
    expect_room(expected or 1000, CPU, "f(x=...)", "less.")
    if expected is not None:
        with pytest.raises(MemoryError, match=r"`f\(x=...\)` .*\n.*less"):
            expect_room(expected + 1, CPU, "f(x=...)", "less.")


@pytest.fixture
def groups(monkeypatch, tmp_path):
    """Make control groups; `own` is what /proc/self/cgroup says of this process."""

    def make(own, **files):
        (tmp_path / "own").write_text(own)
        for folder, content in files.items():
            for name, text in content.items():
                file = tmp_path / "root" / folder / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(f"{text}\n")
        monkeypatch.setattr(_memory_limits, "_MEMBERSHIP", str(tmp_path / "own"))
        monkeypatch.setattr(_memory_limits, "_GROUPS", str(tmp_path / "root"))
        return _memory_limits.control_groups()

    return make


def second(limit, used, **rest):
    return {"memory.max": limit, "memory.current": used, **rest}


def first(limit, used, **rest):
    return {"memory.limit_in_bytes": limit, "memory.usage_in_bytes": used, **rest}


@pytest.mark.parametrize(
    ("limit", "used", "left"), [("1000", "300", 700), ("1000", "1200", 0), ("max", "300", None)]
)
def test_what_a_control_group_leaves(groups, limit, used, left):
    assert groups("0::/\n", **{".": second(limit, used)}) == left
    assert groups("") is None


def test_every_group_around_the_process_counts(groups):
    """A scheduler's limit is on the job, the process in a group below, the root has none."""
    tree = {
        "slurm/job_1": second(1000, 400),
        "slurm/job_1/step_0": second("max", 300),
        "slurm/job_2": second(10, 10),
    }
    assert groups("0::/slurm/job_1/step_0\n", **tree) == 600
    tree["slurm"] = second(2000, 1900)
    assert groups("0::/slurm/job_1/step_0\n", **tree) == 100
    tree["slurm/job_1/step_0"] = second(350, 300)
    assert groups("0::/slurm/job_1/step_0\n", **tree) == 50


def test_groups_of_the_first_version(groups):
    own = "9:name=systemd:/a/b\n4:hugetlb,memory:/a/b\n1:cpu,cpuacct:/other\n"
    none = 2**63 - 4096
    tree = {"memory": first(none, 5), "memory/a": first(1000, 400), "memory/a/b": first(none, 300)}
    assert groups(own, **tree) == 600
    assert groups("4:memory:/\n", **{"memory/a": first(1, 1)}) is None


def test_a_container_that_is_told_its_path_on_the_host_sees_its_group_as_the_root(groups):
    assert groups("4:memory:/docker/0f3a\n", memory=first(1000, 250)) == 750
    assert groups("0::/../../kubepods/pod1\n", **{".": second(1000, 250)}) == 750


def test_contents_of_files_are_given_back(groups):
    stat = "anon 200\ninactive_file 700\nactive_file 50\ntotal_inactive_file 700"
    assert groups("0::/\n", **{".": second(1000, 950, **{"memory.stat": stat})}) == 750
    assert groups("4:memory:/\n", memory=first(1000, 950, **{"memory.stat": stat})) == 750


def test_what_cannot_be_read_is_no_limit(groups, monkeypatch):
    assert groups("0::/\n", **{".": {"memory.max": "1000", "memory.current": "?"}}) is None
    assert groups("nothing of the kind\n\n::\n4:memory\n") is None


def test_a_system_that_does_not_say(monkeypatch):
    def nothing():
        raise FileNotFoundError("/proc/meminfo")

    monkeypatch.setattr(psutil, "virtual_memory", nothing)
    assert _memory_limits.system() is None


@pytest.mark.skipif(sys.platform != "linux", reason="limits that Linux keeps")
def test_a_limit_of_the_process_refuses_before_anything_is_taken():
    code = """
import resource, torch
from overparam._memory import available
from overparam.tangents import empirical_ntk

limit = 4 * 2**30
for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
    before = resource.getrlimit(kind)
    resource.setrlimit(kind, (limit, before[1]))
    assert available(torch.device("cpu")) < limit
    try:
        empirical_ntk(torch.nn.Linear(1, 1), torch.zeros(40_000, 1))  # whose kernel takes 6.4 GB
    except MemoryError as error:
        print(error)
    resource.setrlimit(kind, before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert (done.returncode, done.stderr) == (0, "")
    refused = "`empirical_ntk(chunk_size=...)` expected a kernel that fits"
    assert done.stdout.count(refused) == 2


def test_an_accelerator_is_asked_itself(monkeypatch):
    """Its own free memory, with what torch holds of it and does not use."""

    class Module:
        mem_get_info = staticmethod(lambda device: (1000, 5000))
        memory_reserved = staticmethod(lambda device: 300)
        memory_allocated = staticmethod(lambda device: 100)

    for kind in ("cuda", "xpu"):
        with monkeypatch.context() as patch:
            patch.setattr(torch, kind, Module)
            assert available(torch.device(kind)) == 1200
    assert available(torch.device("meta")) is None


@pytest.mark.parametrize(("most", "taken", "host", "left"), [
    (1000, 400, 5000, 600), (1000, 400, 500, 500), (1000, 400, None, 600), (100, 400, 500, 0),
])  # fmt: skip
def test_metal_shares_the_machines_memory(monkeypatch, most, taken, host, left):
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: most)
    monkeypatch.setattr(torch.mps, "current_allocated_memory", lambda: taken)
    monkeypatch.setattr(_memory, "_host", lambda: host)
    assert available(torch.device("mps")) == left


def lowered_in_code(monkeypatch):
    return _memory.memory_limit(10_000)


def lowered_in_the_environment(monkeypatch):
    monkeypatch.setenv("OVERPARAM_MEMORY", "10000")
    return nullcontext()


def lowered_by_the_system(monkeypatch):
    monkeypatch.setattr(_memory_limits, "process", lambda: 10_000)
    return nullcontext()


@pytest.mark.parametrize(
    "lowered", [lowered_in_code, lowered_in_the_environment, lowered_by_the_system]
)
def test_what_does_not_fit_is_refused_wherever_memory_is_estimated(monkeypatch, lowered):
    torch.manual_seed(0)
    x, net = torch.randn(300, 40), torch.nn.Sequential(torch.nn.Linear(40, 50), torch.nn.ReLU())
    y = x[:, 0].numpy()
    # A matrix of 300 × 300, or of 40 × 40 twice, does not fit; nor do 300 × (40 + 50) numbers.
    with lowered(monkeypatch):
        with pytest.raises(MemoryError, match=r"`NTKOperator\(chunk_size=...\)`"):
            NTKOperator(net, x)
        with pytest.raises(MemoryError, match=r"`empirical_ntk\(chunk_size=...\)`"):
            empirical_ntk(net, x)
        with pytest.raises(MemoryError, match=r"`RFMRegressor\(feature_matrix='full'\)`.*\n.*diag"):
            RFMRegressor(n_iter=1).fit(x.numpy(), y)
        with pytest.raises(MemoryError, match=r"`infinite_ntk\(x1=...\)`"):
            infinite_ntk(x, depth=1)
        with pytest.raises(MemoryError, match=r"`fit_ridge\(x=...\)`"):
            fit_ridge(Laplace(), x, x[:, :1], ridge=1.0)


def test_of_nested_limits_the_least_counts():
    before = available()
    with _memory.memory_limit(3e6):
        with _memory.memory_limit(2e6), _memory.memory_limit(1e9):
            assert available(CPU) == 2_000_000
        assert available() == 3_000_000
        assert _memory.part_of(0.5, 10**9, CPU) == 1_500_000
        assert _memory.fits(3e6, CPU)
        assert not _memory.fits(3e6 + 1, CPU)
    assert before is None or available() > 3e6


def test_a_limit_ends_with_its_block_whatever_happens():
    with pytest.raises(ZeroDivisionError), _memory.memory_limit(1.0):
        _ = 1 / 0
    assert _memory._LIMITS == []


def test_a_limit_changes_how_and_not_what():
    torch.manual_seed(0)
    net, x = torch.nn.Linear(50, 1).double(), torch.randn(64, 50).double()
    free = empirical_ntk(net, x)
    with _memory.memory_limit(2 * free.numel() * 8):  # factors of all rows do not fit beside it
        held = empirical_ntk(net, x)
    # A sum of 50 products in another order, none of which is larger than two norms.
    bound = 50 * torch.finfo(free.dtype).eps * float(free.diagonal().max())
    torch.testing.assert_close(held, free, rtol=0.0, atol=bound)


@pytest.mark.parametrize("words", ["4GiB", "-1", "0", "1e9"])
def test_a_limit_that_is_none_is_named(monkeypatch, words):
    monkeypatch.setenv("OVERPARAM_MEMORY", words)
    with pytest.raises(ValueError, match=r"`OVERPARAM_MEMORY` expected a positive number"):
        available()


@pytest.mark.parametrize("limit", [0, -1.0, math.nan, "4GiB", None])
@pytest.mark.untyped("what `with` takes refuses when it is entered, and not when it is called")
def test_a_limit_that_is_no_number_of_bytes_is_refused(limit):
    with pytest.raises(ValueError, match=r"`memory_limit\(limit=...\)` expected a positive number"):
        _memory.memory_limit(limit).__enter__()
    assert _memory._LIMITS == []


def test_a_limit_without_end_is_none(monkeypatch):
    monkeypatch.setattr(_memory, "_free", lambda device: None)
    with _memory.memory_limit(math.inf):
        assert available(CPU) is None
