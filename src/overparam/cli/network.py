"""The commands about a network: what its rate should be, what its training did."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from overparam._errors import UsageError
from overparam._output import expect_files
from overparam.cli.options import (
    LAST_SEED,
    Budget,
    Data,
    Epochs,
    PageFile,
    ResultFile,
    Seed,
    Spec,
    listed,
)
from overparam.cli.printed import print_found
from overparam.cli.words import as_typed


def _began() -> float:
    """When the budget of a command began, on `time.perf_counter`: loading torch is a part of it.

    So is what the interpreter took to come here, in a process that was started for the command.
    """
    fresh = "torch" not in sys.modules
    return time.perf_counter() - (time.process_time() if fresh else 0.0)


def diagnose(
    spec: Spec = None,
    data: Data = None,
    loss: Annotated[str | None, typer.Option(help="mse or cross_entropy.")] = None,
    lr: Annotated[
        float | None, typer.Option(help="The rate you use with plain SGD, to have it judged.")
    ] = None,
    epochs: Epochs = None,
    budget: Budget = "60s",
    batch_size: Annotated[int | None, typer.Option(help="Examples per step.")] = None,
    steps: Annotated[int | None, typer.Option(help="Training steps at most.")] = None,
    seed: Annotated[
        int, typer.Option(help="Of batches, splits and initialisation.", min=0, max=LAST_SEED)
    ] = 0,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, …")] = None,
    json: ResultFile = None,
    html: PageFile = None,
) -> None:
    """Train a task for a minute; say which learning rate to use, what happened, what to do.

    SPEC is run as a program of yours; no other file ever is. An example, of whose model a copy
    is trained:

    from torch import nn

    def model(): return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    """
    expect_files([spec, data], json=json, html=html)
    command = as_typed()
    began = _began()
    from overparam.diagnosis.command import run_diagnosis

    found = run_diagnosis(
        spec, data, loss, lr, epochs=epochs, budget=budget, batch_size=batch_size,
        max_steps=steps, seed=seed, device=device, command=command, began=began,
    )  # fmt: skip
    print_found(found, json, html)


def suggest(
    spec: Spec = None,
    data: Data = None,
    loss: Annotated[str | None, typer.Option(help="mse or cross_entropy.")] = None,
    epochs: Epochs = None,
    steps: Annotated[
        int | None, typer.Option(help="Of the training you plan, instead of epochs.", min=1)
    ] = None,
    budget: Budget = "60s",
    batch_size: Annotated[int | None, typer.Option(help="Examples per batch.")] = None,
    clip_norm: Annotated[
        float | None, typer.Option(help="Largest norm of a step's gradient.")
    ] = None,
    accumulate: Annotated[int, typer.Option(help="Batches per optimizer step.", min=1)] = 1,
    optimizers: Annotated[
        str, typer.Option(help="Others to compare with, such as mass,adamw,prodigy.")
    ] = "",
    batch_sizes: Annotated[str, typer.Option(help="Others to compare with, such as 16,64.")] = "",
    keep: Annotated[
        Path | None, typer.Option(help="Keep the race in this file, and go on from it.")
    ] = None,
    seed: Seed = 0,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, …")] = None,
    json: ResultFile = None,
    html: PageFile = None,
) -> None:
    """Find the learning rate at which a training ends with the lowest loss, by trying it.

    SPEC is run as a program of yours. Beside model(), data(), loss and optimizer(params) it may
    offer schedule(optimizer, steps), which makes the scheduler. Ctrl+C gives the best so far.
    """
    expect_files([spec, data, keep], json=json, html=html)
    command = as_typed()
    began = _began()
    from overparam.diagnosis.command import run_suggestion

    sizes = listed(batch_sizes)
    if not all(size.isdecimal() for size in sizes):
        raise UsageError(f"--batch-sizes must be numbers such as 16,64, not {batch_sizes!r}.")
    found = run_suggestion(
        spec, data, loss, epochs=epochs, steps=steps, budget=budget, batch_size=batch_size,
        clip_norm=clip_norm, accumulate=accumulate, seed=seed, device=device, command=command,
        began=began, optimizers=listed(optimizers), batch_sizes=[int(size) for size in sizes],
        keep=keep,
    )  # fmt: skip
    print_found(found, json, html)
    if found.stopped == "interrupted":
        raise typer.Exit(130)


def watch(
    run: Annotated[
        Path, typer.Argument(help="What Monitor(file=...) writes; it may not exist yet.")
    ],
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8321,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Let other machines see the page.")
    ] = False,
) -> None:
    """Follow a training run in the browser, while it goes on or afterwards."""
    from overparam.watch.server import watch as serve

    serve(
        run, host=host, port=port, allow_remote=allow_remote,
        announce=lambda url: print(f"{run}: {url} (Ctrl+C ends)", file=sys.stderr, flush=True),
    )  # fmt: skip
