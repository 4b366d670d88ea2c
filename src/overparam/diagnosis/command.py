"""A diagnosis as the command line asks for it."""

import math
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch

from overparam._errors import UsageError, expect
from overparam._progress import Stages
from overparam.datasets.dataset import expect_seed
from overparam.diagnosis.diagnose import diagnose, parse_budget
from overparam.diagnosis.result import Diagnosis
from overparam.diagnosis.spec import load_spec
from overparam.diagnosis.task import as_examples


def run_diagnosis(
    spec: str | None,
    data: str | None,
    loss: str | None,
    lr: float | None,
    *,
    budget: str,
    seed: int,
    **options: Any,
) -> Diagnosis:
    """The diagnosis of a specification and a data source, with progress on the terminal.

    What the command line names wins over what the specification offers.

    Args:
        spec: A file or ``module:name``; `None` is the built-in network.
        data: A name or a file; `None` is the specification's, or the bundled digits.
        loss: ``"mse"`` or ``"cross_entropy"``; `None` is the specification's, or by the data.
        lr: Rate of plain SGD; `None` is the specification's optimizer, or the advised rate.
        budget: Time for everything.
        seed: Of everything random.
        options: Passed on to `diagnose`.

    Raises:
        UsageError: The specification cannot be loaded or raises; its traceback is attached.
        ValueError: As `diagnose`.
    """
    parse_budget(budget)  # told before anything is loaded
    expect(lr is None or 0 < lr < math.inf, "diagnose --lr", "a positive number", lr)
    expect_seed(seed, "diagnose --seed")
    torch.manual_seed(seed)
    optimizer: Any = None
    source: Any = data
    chosen: Any = loss
    model: Any = None
    given = None if spec is None else load_spec(spec)
    if given is not None:
        source = data if data is not None else given.data()
        optimizer = given.optimizer()
        chosen = loss if loss is not None else given.loss()
        examples = as_examples("digits" if source is None else source, seed=seed)
        model = given.model(examples)
    else:
        examples = as_examples("digits" if source is None else source, seed=seed)
    if lr is not None:
        if optimizer is not None:
            raise UsageError(f"`diagnose --lr`: {spec} brings its own optimizer and rate.")
        optimizer = partial(torch.optim.SGD, lr=lr)

    with Stages() as progress, nullcontext() if given is None else given.blamed():
        return diagnose(
            model, examples, chosen, optimizer, budget=budget, seed=seed, progress=progress,
            **options,
        )  # fmt: skip
