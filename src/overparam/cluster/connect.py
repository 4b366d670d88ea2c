"""A word such as an address to the cluster it names, for as long as a block lasts."""

import json
import logging
import os
import re
import socket
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from overparam._deprecated import renamed
from overparam._errors import expect
from overparam._extras import absent
from overparam._numbers import is_integer
from overparam.cluster.backend import ClusterBackend, Promise, Workers

# How long a scheduler may take to answer.
SECONDS = 10
# Workers that a task may lose before it is taken for what kills them; Dask's default.
RETRIES = 3

_DASK = re.compile(r"(tcp|tls)://(\[[^]]+\]|[^:/]+):(\d{1,5})")
_RAY = re.compile(r"ray://([^:/]+|\[[^]]+\]):(\d{1,5})")


@renamed(jobs="n_jobs")
@contextmanager
def on_cluster(
    where: str | os.PathLike[str] | None, *, n_jobs: int | None = None
) -> Iterator[None]:
    """Let every loop of the library over independent computations use a cluster.

    Inside, `run_study`, `fit` and `empirical_ntk_to_file` hand their cells, folds and tiles to
    the cluster and write what comes back on this machine alone; joblib's own `Parallel` does so
    too. Workers need this library and its dependencies in the same versions; code of your own,
    from files that are not installed, travels with the tasks.

    Args:
        where: "local" for worker processes of Dask on this machine; the address of a Dask
            scheduler such as ``tcp://host:8786``, or the file it wrote with
            ``--scheduler-file``; "ray" for the Ray cluster that this machine belongs to, or for
            a Ray of its own where there is none; ``ray://host:10001``. `None` changes nothing.
        n_jobs: Worker processes for "local", and for a Ray that is started; `None` or -1 means
            one per core. A cluster that is there decides itself.

    Raises:
        ValueError: If `where` is none of these, or `n_jobs` is given for a cluster that is there.
        ConnectionError: If nothing answers there within ten seconds (Ray: its own time).
        ImportError: If Dask or Ray is not installed.

    Cost:
        Starting takes seconds. A task costs about a millisecond and what it sends.

    Example:
        ::

            with on_cluster("tcp://10.0.0.1:8786"):
                run_study("liu2020_kernel_constancy", "full")
    """
    if where is None:
        yield
        return
    word = os.fspath(where)
    name = f"cluster {word}"
    number = n_jobs is None or (is_integer(n_jobs) and n_jobs != 0)
    expect(number, f"{name} jobs", "a number of jobs, or -1 for one per core", repr(n_jobs))
    if word == "ray" or _RAY.fullmatch(word):
        connected = _ray(word, n_jobs)
    elif word == "local" or _DASK.fullmatch(word) or os.path.isfile(word):
        connected = _dask(word, n_jobs)
    else:
        expect(
            False,
            name,
            "local, ray, ray://host:port, tcp://host:port, or the file of a Dask scheduler",
            repr(word),
        )
        return
    with connected as workers, joblib.parallel_config(backend=ClusterBackend(workers), n_jobs=-1):
        yield


class _Dask:
    """Workers of a Dask scheduler."""

    def __init__(self, name: str, client: Any) -> None:
        self.name, self.client = name, client

    def cores(self) -> int:
        return sum(self.client.nthreads().values())

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Promise:
        # A task is not a function of its arguments for Dask: the same one may be asked for again.
        return self.client.submit(function, *arguments, pure=False)

    def put(self, packed: np.ndarray) -> Any:
        # A task whose value is what it was given: lost with its workers, it is made again.
        return self.client.submit(_itself, packed, pure=False)

    def cancel(self, promises: list[Promise]) -> None:
        with suppress(Exception):  # no one is left to be told
            self.client.cancel(promises, force=True)

    def trouble(self) -> str:
        if self.client.status == "running":
            return ""
        return "no answer from the scheduler, which has ended or cannot be reached"


def _itself(packed: np.ndarray) -> np.ndarray:
    return packed


@contextmanager
def _dask(word: str, n_jobs: int | None) -> Iterator[Workers]:
    """Workers of Dask, its own processes if the word is "local"."""
    try:
        from dask import config
        from distributed import Client, LocalCluster
    except ImportError as problem:
        raise absent(f"cluster {word}", "dask", "cluster") from problem
    quiet = {
        "distributed.admin.large-graph-warning-threshold": "1TB",  # values that are sent once
        "distributed.comm.timeouts.connect": f"{SECONDS}s",
    }
    with ExitStack() as stack:
        stack.enter_context(config.set(quiet))
        stack.enter_context(_silenced("distributed", "tornado", "asyncio"))
        if word == "local":
            own: Any = LocalCluster(
                n_workers=_processes(n_jobs),
                threads_per_worker=1,
                memory_limit=0,  # as without a cluster
                dashboard_address=None,  # pyright: ignore[reportArgumentType]
                silence_logs=logging.CRITICAL,
            )
            address = stack.enter_context(own).scheduler_address
        else:
            _expect_own_jobs(word, n_jobs)
            address = word if _DASK.fullmatch(word) else _address(word)
            _expect_connection(word, "a Dask scheduler that answers", _unreachable(address))
        problem, client = "", None
        try:
            client = Client(address, timeout=SECONDS, set_as_default=False)
        except Exception as error:  # what is no scheduler answers in many ways
            problem = str(error).splitlines()[0] if str(error) else type(error).__name__
        _expect_connection(word, "a Dask scheduler that answers", problem)
        stack.callback(_close, client)
        yield _Dask(word, client)


def _close(client: Any) -> None:
    """Leave the scheduler, which may have left already."""
    with suppress(Exception):
        client.close(timeout=2)


def _unreachable(address: str) -> str:
    """Why nothing can be there, or nothing; a refusal is told at once and in its own words."""
    from dask import config

    scheme, host, port = re.fullmatch(_DASK, address).groups()  # pyright: ignore
    if scheme == "tls" and not config.get("distributed.comm.tls.client.cert", None):
        return "no certificate in Dask's configuration, distributed.comm.tls.client"
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS) as there:
            if scheme == "tls":
                return ""
            # A scheduler begins by the length of its greeting; Dask would wait for ever for one.
            length = int.from_bytes(there.recv(8), "little")
            return "" if 0 < length < 2**20 else "what answers there is no Dask scheduler"
    except TimeoutError:
        return f"no answer within {SECONDS} seconds"
    except (OSError, OverflowError, UnicodeError) as error:
        return getattr(error, "strerror", None) or str(error)


def _address(file: str) -> str:
    """What a scheduler wrote into its file."""
    address = None
    with suppress(ValueError, TypeError, LookupError, RecursionError):
        address = json.loads(Path(file).read_text("utf-8"))["address"]
    expect(
        isinstance(address, str) and _DASK.fullmatch(address),
        f"cluster {file}",
        "a file that a Dask scheduler wrote",
        "one without an address",
        hint="dask scheduler --scheduler-file FILE writes one.",
    )
    return str(address)


class _Ray:
    """Workers of Ray."""

    def __init__(self, name: str, ray: Any) -> None:
        self.name, self.ray = name, ray
        # What waits for a task may submit the next one, which a thread of Ray's must not.
        self._told = ThreadPoolExecutor(1)
        self._references: dict[Promise, Any] = {}
        self._remote: dict[Callable[..., Any], Any] = {}

    def cores(self) -> int:
        return int(self.ray.cluster_resources().get("CPU", 0))

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Promise:
        if function not in self._remote:
            remote = self.ray.remote(num_cpus=1, max_retries=RETRIES)
            self._remote[function] = remote(function)
        reference = self._remote[function].remote(*arguments)
        future: Future = Future()
        self._references[future] = reference
        reference.future().add_done_callback(
            lambda there: self._told.submit(self._pass_on, there, future)
        )
        return future

    def _pass_on(self, there: Future, future: Future) -> None:
        self._references.pop(future, None)
        try:
            future.set_result(there.result())
        except BaseException as problem:
            future.set_exception(problem)

    def put(self, packed: np.ndarray) -> Any:
        return self.ray.put(packed)

    def cancel(self, promises: list[Promise]) -> None:
        """Forget them: what runs ends by itself, or with the connection.

        Ray takes the whole process down where a task ends while it is cancelled (a failed check,
        "Tried to complete task that was not pending").
        """
        for promise in promises:
            self._references.pop(promise, None)

    def trouble(self) -> str:
        if self.ray.is_initialized():
            return ""
        return "no answer from Ray, which has ended or cannot be reached"


@contextmanager
def _ray(word: str, n_jobs: int | None) -> Iterator[Workers]:
    """Workers of Ray: of a cluster that is there, otherwise its own."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when Ray is imported and when it starts
    try:
        import ray
    except ImportError as problem:
        raise absent(f"cluster {word}", "ray", "cluster") from problem
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    with ExitStack() as stack:
        stack.enter_context(_silenced("ray"))
        if not ray.is_initialized():
            stack.callback(ray.shutdown)
            problem = ""
            if word != "ray":
                _expect_own_jobs(word, n_jobs)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    _join_or_start(ray, word, n_jobs, quiet)
            except Exception as error:  # what is no Ray answers in many ways
                problem = str(error).splitlines()[0] if str(error) else type(error).__name__
            _expect_connection(word, "a Ray cluster that answers", problem)
        yield _Ray(word, ray)


def _join_or_start(ray: Any, word: str, n_jobs: int | None, quiet: dict[str, Any]) -> None:
    """Be a driver of the Ray the word means."""
    if word != "ray":
        ray.init(address=word, **quiet)
        return
    try:
        ray.init(address="auto", **quiet)
    except ConnectionError:  # there is none
        ray.init("local", num_cpus=_processes(n_jobs), include_dashboard=False, **quiet)


def _processes(n_jobs: int | None) -> int:
    """How many worker processes to start."""
    return joblib.cpu_count() if n_jobs is None or n_jobs < 0 else n_jobs


def _expect_own_jobs(word: str, n_jobs: int | None) -> None:
    """Raise for a number of jobs that no one would heed."""
    expect(
        n_jobs is None,
        f"cluster {word} jobs",
        "no number of jobs for a cluster that is there: it has as many as it has cores",
        n_jobs,
    )


def _expect_connection(word: str, expected: str, problem: str) -> None:
    """Raise if there was a problem."""
    expect(
        not problem,
        f"cluster {word}",
        expected,
        problem,
        hint="check the address, and that the scheduler runs and can be reached from here.",
        error=ConnectionError,
    )


@contextmanager
def _silenced(*names: str) -> Iterator[None]:
    """What goes wrong is raised here; the loggers would tell it again, at length."""
    loggers = [
        logging.getLogger(known)
        for known in list(logging.root.manager.loggerDict)
        if known.partition(".")[0] in names  # Dask gives some of them a level of their own
    ]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
