"""The command about training across sites: a simulation from a file, and its comparison."""

from pathlib import Path
from typing import Annotated

import typer

from overparam._output import expect_files
from overparam.cli.options import PageFile, ResultFile, listed
from overparam.cli.printed import print_found
from overparam.cli.words import as_typed

# Repeats take the seeds after the first.
LAST_SEED = 2**32 - 2**16


def federate(
    spec: Annotated[
        Path, typer.Argument(help="FILE.toml: model, data, clients, partition, algorithm, rounds.")
    ],
    against: Annotated[
        str, typer.Option(help="Other algorithms, such as scaffold,fedadam: all are tuned alike.")
    ] = "",
    trials: Annotated[
        int, typer.Option(help="Of every algorithm, with --against.", min=1, max=10_000)
    ] = 12,
    repeats: Annotated[
        int | None,
        typer.Option(help="Runs with other seeds; 3 with --against, else 1.", min=1, max=1000),
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(help="Folder of finished runs; by default in the cache.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, …")] = "cpu",
    seed: Annotated[
        int,
        typer.Option(help="Another number repeats it with new randomness.", min=0, max=LAST_SEED),
    ] = 0,
    json: ResultFile = None,
    html: PageFile = None,
) -> None:
    """Simulate training across clients, and say what it costs and whom it leaves behind.

    Finished runs are kept, and unfinished ones up to where they stood: the same command goes on.

    A spec that is complete, to be changed from there (sites.toml):

    data = "digits"

    model = [32]

    clients = 20

    rounds = 30

    partition = {kind = "dirichlet", alpha = 0.1}

    algorithm = {name = "fadamgc", lr = 0.01}

    Without a server the algorithm is local_sgd, with columns apart dpzv. To compare, tuned alike:

    overparam federate sites.toml --against scaffold,fedadam --html sites.html
    """
    expect_files([spec, keep], json=json, html=html)
    from overparam.federated.experiments.federation import run_federation

    found = run_federation(
        spec, against=listed(against), trials=trials, repeats=repeats, keep=keep, device=device,
        progress=True, seed=seed, command=as_typed(),
    )  # fmt: skip
    print_found(found, json, html)
