"""A diagnosis, and a race for a learning rate, as the command line asks for them."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import torch

from overparam._errors import UsageError, expect
from overparam._progress import Stages
from overparam.datasets.dataset import expect_seed
from overparam.diagnosis.budget import LEAST_SECONDS, Left, parse_budget
from overparam.diagnosis.diagnose import diagnose
from overparam.diagnosis.examples import as_examples
from overparam.diagnosis.result import Diagnosis
from overparam.diagnosis.source import loaders_of
from overparam.diagnosis.spec import load_spec
from overparam.diagnosis.suggest_lr import suggest_lr
from overparam.diagnosis.suggested_rate import SuggestedRate

# Drawing a page takes less than this part of what loading torch and this package takes.
_PAGE = 0.2


class _Loaded(NamedTuple):
    """What a specification and the words of a command come to."""

    model: Any
    data: Any
    loss: Any
    optimizer: Any
    options: dict[str, Any]
    seconds: float


def run_diagnosis(
    spec: str | None,
    data: str | None,
    loss: str | None,
    lr: float | None,
    *,
    budget: str,
    seed: int,
    began: float | None = None,
    **options: Any,
) -> Diagnosis:
    """The diagnosis of a specification and a data source, with progress on the terminal.

    What the command line names wins over what the specification offers. The budget includes the
    time that loading takes.

    Args:
        spec: A file or ``module:name``; `None` is the built-in network.
        data: A name or a file; `None` is the specification's, or the bundled digits.
        loss: ``"mse"`` or ``"cross_entropy"``; `None` is the specification's, or by the data.
        lr: Rate of plain SGD; `None` is the specification's optimizer, or the advised rate.
        budget: Time for everything.
        seed: Of everything random.
        began: When the budget began, on `time.perf_counter`; `None` is now.
        options: Passed on to `diagnose`.

    Raises:
        UsageError: The specification cannot be loaded or raises; its traceback is attached.
        ValueError: As `diagnose`.
    """
    seconds = parse_budget(budget)  # told before anything is loaded
    page = _page_seconds(began)
    expect(lr is None or 0 < lr < math.inf, "diagnose --lr", "a positive number", lr)
    with _loaded(spec, data, loss, seed, "diagnose", began) as (loaded, progress):
        optimizer = loaded.optimizer
        if lr is not None:
            if optimizer is not None:
                raise UsageError(f"`diagnose --lr`: {spec} brings its own optimizer and rate.")
            optimizer = partial(torch.optim.SGD, lr=lr)
        found = diagnose(
            loaded.model, loaded.data, loaded.loss, optimizer, budget=_left(seconds, page, loaded),
            seed=seed, progress=progress, **loaded.options, **options,
        )  # fmt: skip
    _booked(found.environment, seconds, loaded)
    return found


def run_suggestion(
    spec: str | None,
    data: str | None,
    loss: str | None,
    *,
    budget: str,
    seed: int,
    began: float | None = None,
    **options: Any,
) -> SuggestedRate:
    """The race for a learning rate; as `run_diagnosis`."""
    seconds = parse_budget(budget, "lr")
    page = _page_seconds(began)
    with _loaded(spec, data, loss, seed, "lr", began) as (loaded, progress):
        found = suggest_lr(
            loaded.model, loaded.data, loaded.loss, loaded.optimizer,
            budget=_left(seconds, page, loaded), seed=seed, progress=progress, **loaded.options,
            **options,
        )  # fmt: skip
    _booked(found.environment, seconds, loaded)
    return found


@contextmanager
def _loaded(
    spec: str | None,
    data: str | None,
    loss: str | None,
    seed: int,
    who: str,
    began: float | None,
) -> Iterator[tuple[_Loaded, Callable[[str, float], None]]]:
    """What is to be trained, and bars; errors of the user's code inside are told as theirs."""
    began = time.perf_counter() if began is None else began
    expect_seed(seed, f"{who} --seed")
    torch.manual_seed(seed)
    given = None if spec is None else load_spec(spec)
    source: Any = data
    if given is not None and source is None:
        source = given.data()
    source = "digits" if source is None else source
    # Batches are gone through by the diagnosis itself, inside its budget.
    fed = loaders_of(source, None, math.inf, who)[0] is not None
    shown = source if fed else as_examples(source, seed=seed, who=who)
    if given is None:
        model, chosen, optimizer, options = None, loss, None, {}
    else:
        optimizer, chosen = given.optimizer(), loss if loss is not None else given.loss()
        options = {"schedule": given.schedule(), "forward": given.forward()}
        options["split"] = given.split()
        model = given.maker() if fed else given.model(shown)
    seconds = time.perf_counter() - began
    with Stages() as progress, nullcontext() if given is None else given.blamed():
        yield _Loaded(model, shown, chosen, optimizer, options, seconds), progress


def _page_seconds(began: float | None) -> float:
    """What is kept for the page, by what loading torch took on this machine with its load."""
    return 0.0 if began is None else _PAGE * (time.perf_counter() - began)


def _left(seconds: float, page: float, loaded: _Loaded) -> Left:
    """What loading and the page leave of the budget."""
    return Left(max(seconds - page - loaded.seconds, LEAST_SECONDS), of=seconds)


def _booked(environment: dict[str, Any], budget: float, loaded: _Loaded) -> None:
    """Count the time of loading into what is told of time."""
    environment["seconds"] = round(environment["seconds"] + loaded.seconds, 1)
    environment["budget_seconds"] = budget
