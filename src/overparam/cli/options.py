"""The arguments that several commands take, each said once."""

from pathlib import Path
from typing import Annotated

import typer

Names = Annotated[list[str], typer.Argument(help="Studies, as in `study list`.", metavar="NAME…")]
SomeNames = Annotated[
    list[str] | None, typer.Argument(help="Studies, as in `study list`.", metavar="NAME…")
]
Size = Annotated[str, typer.Option(help="smoke, quick or full.")]
JsonFile = Annotated[
    Path | None,
    typer.Option("--json", help="Write the result here: a file, or a folder for several studies."),
]
# More processes than any machine has cores, and the largest seed that all generators take.
MOST_JOBS, LAST_SEED = 4096, 2**32 - 1
Jobs = Annotated[
    int | None,
    typer.Option(
        help="Cells at a time on this machine; by default one per core.",
        min=-MOST_JOBS,
        max=MOST_JOBS,
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        help="Compute on local (processes of Dask), tcp://host:port or the file of a Dask "
        "scheduler, ray, or ray://host:port.",
        metavar="ADDRESS",
    ),
]
Seed = Annotated[
    int,
    typer.Option(help="Another number repeats it with new randomness.", min=0, max=LAST_SEED),
]
StoreFile = Annotated[
    Path | None, typer.Option(help="File of finished cells; by default in the cache folder.")
]
Spec = Annotated[
    str | None,
    typer.Argument(
        help="FILE.py or module:name with model(), and optionally data(), loss, "
        "optimizer(params). Without it a built-in network is trained."
    ),
]
Data = Annotated[
    str | None,
    typer.Option(help="A name (digits, mnist, …) or FILE.npz, FILE.csv:TARGET, FILE.parquet."),
]
Epochs = Annotated[
    float | None,
    typer.Option(help="Of the training you plan; the advice is for that length."),
]
Budget = Annotated[str, typer.Option(help="Time for everything: 60s, 5m.")]
ResultFile = Annotated[Path | None, typer.Option("--json", help="Write the numbers to this file.")]
PageFile = Annotated[Path | None, typer.Option("--html", help="Write the page to this file.")]


def listed(words: str) -> list[str]:
    """What commas separate."""
    return [word.strip() for word in words.split(",") if word.strip()]
