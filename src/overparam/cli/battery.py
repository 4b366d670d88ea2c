"""The command about batteries: electrodes by design."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from overparam._output import expect_files
from overparam.cli.options import MOST_JOBS, Cluster, PageFile, ResultFile, Seed
from overparam.cli.printed import print_found
from overparam.cli.words import as_typed


def battery_design(
    process: Annotated[
        Path | None,
        typer.Option(help="FILE.toml of coefficients and windows, or FILE.py with process()."),
    ] = None,
    objectives: Annotated[
        str, typer.Option(help="Two of energy, power, fast_energy, slow_energy.")
    ] = "energy,power",
    budget: Annotated[int, typer.Option(help="Designs to simulate.")] = 96,
    want: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=NUMBER, an objective to have; parameters for it are told. Again for both.",
            metavar="NAME=NUMBER",
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            help="Designs at a time; by default one per core.", min=-MOST_JOBS, max=MOST_JOBS
        ),
    ] = None,
    cluster: Cluster = None,
    seed: Seed = 0,
    store: Annotated[
        Path | None, typer.Option(help="File of finished simulations; by default in the cache.")
    ] = None,
    json: ResultFile = None,
    html: PageFile = None,
) -> None:
    """Find how to make an electrode for energy, for power, or for what lies between.

    Finished simulations are kept: the same command continues where it was interrupted.
    """
    expect_files(json=json, html=html)
    from overparam.battery.command import inverse_line, run_design, wanted_numbers
    from overparam.claims.run import CellsFailed

    wanted = wanted_numbers(want or [], objectives)
    try:
        found = run_design(
            process, objectives, budget, jobs=jobs, cluster=cluster, store=store, seed=seed,
            command=as_typed(),
        )  # fmt: skip
    except CellsFailed as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None
    print_found(found, json, html)
    if wanted:
        print(inverse_line(found, wanted))
