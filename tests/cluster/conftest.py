"""Two worker processes of Dask and two of Ray, started once."""

import os
import sys
from pathlib import Path

import pytest

from overparam.cluster import on_cluster

FOLDER = str(Path(__file__).parents[1] / "claims")


@pytest.fixture(scope="session")
def dask_cluster():
    """A scheduler with two workers."""
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=0
    ) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def dask_address(dask_cluster):
    """Where its scheduler listens."""
    return dask_cluster.scheduler_address


@pytest.fixture(scope="session")
def ray_address():
    """The word for the Ray that this process has started."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    ray.init(
        "local", num_cpus=2, include_dashboard=False, object_store_memory=80 * 2**20,
        log_to_driver=False,
    )  # fmt: skip
    yield "ray"
    ray.shutdown()


@pytest.fixture(params=["dask", "ray"])
def address(request):
    """Of either cluster."""
    return request.getfixturevalue(f"{request.param}_address")


@pytest.fixture
def cluster(address):
    """Everything inside the test is computed on it."""
    with on_cluster(address):
        yield address


@pytest.fixture
def toy(monkeypatch):
    """The toy study's module, which the workers cannot import."""
    monkeypatch.syspath_prepend(FOLDER)
    import toy

    toy.CALLS.clear()
    yield toy
    del sys.modules["toy"]
