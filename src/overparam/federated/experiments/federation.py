"""A simulation, or a comparison of several at equal effort, as one document."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from overparam._environment import environment
from overparam._errors import expect
from overparam._extras import needed
from overparam._json import strict
from overparam._numbers import is_integer
from overparam._progress import Progress, Tell, telling
from overparam._statement import Concluded, Statement, most_urgent_first
from overparam.federated.clients import ClientData
from overparam.federated.experiments.building import Pool, pool_of
from overparam.federated.experiments.conclusions import conclusions
from overparam.federated.experiments.kept import KeptRuns
from overparam.federated.experiments.one_run import Row, Runner
from overparam.federated.experiments.spec_file import VERTICAL, Spec, read_spec
from overparam.federated.experiments.tuning import expect_rivals, tuned


@dataclass(frozen=True, eq=False)
class Federation(Concluded):
    """What a spec came to.

    Attributes:
        document: All of it as plain data: the spec, every run, every trial, statements.
    """

    document: dict[str, Any]

    def _statements(self) -> list[Statement]:
        numbers = ("value", "threshold")
        return most_urgent_first(
            Statement(**row | {n: np.nan if row[n] is None else row[n] for n in numbers})
            for row in self.document["statements"]
        )

    def to_dict(self) -> dict[str, Any]:
        """The document."""
        return self.document


def run_federation(
    path: str | Path,
    *,
    against: Sequence[str] = (),
    trials: int = 12,
    repeats: int | None = None,
    keep: str | Path | None = None,
    device: str = "cpu",
    progress: Progress = False,
    seed: int = 0,
    command: str | None = None,
) -> Federation:
    """Simulate what a file describes; or tune several algorithms alike and compare them.

    With `against`, the spec's own algorithm is tuned as the others are: each gets as many trials,
    on a fifth of the training examples that no client has. The best of each is then run on all
    training examples with seeds that no trial saw, and judged by the test examples, once.

    Args:
        path: The file; see `read_spec`.
        against: Names of algorithms.
        trials: Of every algorithm.
        repeats: Runs of each with other seeds; by default 3 of a comparison, else 1.
        keep: A folder of finished runs; `None` is one in the cache.
        device: Where it is computed.
        progress: As everywhere.
        seed: Of all that is random.
        command: What the page says to repeat.

    Raises:
        UsageError, ValueError, TypeError, OSError: For what cannot be, in one line.
        ImportError: For a comparison without Optuna.
    """
    started, where = time.perf_counter(), f"federate {path}"
    spec = read_spec(path)
    expect(is_integer(trials) and trials >= 1, "federate --trials", "a number ≥ 1", trials)
    count = repeats if repeats is not None else 3 if against else 1
    expect(is_integer(count) and count >= 1, "federate --repeats", "a number ≥ 1", count)
    if against:
        expect_rivals(list(against), spec.name, "federate --against")
        needed("federate --against", "optuna", "search")
    kept = KeptRuns(keep)
    pool = pool_of(spec, seed, device, where)
    with telling(progress) as tell:
        tunings = []
        if against:
            held = Runner(spec, pool.with_validation(seed), kept, device, where, progress=False)
            tunings = _tunings(held, against, trials, seed, tell)
        settings = {row["algorithm"]: row["settings"] for row in tunings}
        seeds = [seed + bool(against) + i for i in range(count)]
        runs = []
        for name in (spec.name, *against):
            for own in seeds:
                told = partial(_told, tell, f"{name}, seed {own}")
                runner = Runner(spec, pool, kept, device, where, told)
                runs.append(runner.run(name, settings.get(name, spec.settings), own))
    record = environment(
        seconds=time.perf_counter() - started, seed=seed, device=device,
        threads=torch.get_num_threads(), data=pool.digest(), command=command,
    )  # fmt: skip
    sizes = None if spec.name == VERTICAL else runner.clients(seeds[0])
    return Federation(_document(spec, pool, sizes, runs, tunings, record))


def _tunings(
    runner: Runner, against: Sequence[str], trials: int, seed: int, tell: Tell
) -> list[Row]:
    """For each algorithm its trials, and settings with the best of them."""
    rows = []
    for name in (runner.spec.name, *against):
        given = runner.spec.settings if name == runner.spec.name else {}
        row = tuned(runner, name, given, trials, seed, partial(tell, f"tuning {name}"))
        rows.append({**row, "settings": {**given, **row["best"]}})
    return rows


def _told(tell: Tell, stage: str, _: str, done: float) -> None:
    tell(stage, done)


def _document(
    spec: Spec, pool: Pool, clients: ClientData | None, runs: list[Row], tunings: list[Row],
    record: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """Everything the page is drawn from."""
    return strict({
        "kind": "federated",
        "environment": record,
        "spec": asdict(spec),
        "data": {
            "name": spec.data,
            "train": len(pool.x),
            "test": len(pool.test[0]),
            "classes": len(pool.names) or None,
        },
        "statements": [asdict(one) for one in conclusions(runs, tunings, spec.name)],
        "runs": runs,
        "tuning": tunings,
        "clients": {
            "count": spec.clients,
            "sizes": [] if clients is None else clients.sizes.tolist(),
            "classes": [] if clients is None else _classes(pool, clients),
        },
    })  # fmt: skip


def _classes(pool: Pool, clients: ClientData) -> list[int]:
    """How many classes each client has examples of."""
    if not pool.names:
        return []
    return [len(torch.unique(pool.y[torch.from_numpy(part)])) for part in clients.parts()]
