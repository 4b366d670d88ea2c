"""The commands about stored results of studies: record, tabulate and draw them."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from overparam._errors import UsageError
from overparam._output import expect_files

Results = Annotated[
    list[Path],
    typer.Argument(help="Written by study run or record, or a folder.", metavar="FILE.json…"),
]


def study_record(
    files: Results,
    because: Annotated[
        str, typer.Option(help="Why verdicts are not what is recorded; kept with them.")
    ] = "",
    into: Annotated[
        Path | None, typer.Option(help="A folder to keep the results in, without long lines.")
    ] = None,
) -> None:
    """Record the verdicts of runs as what `study check` expects.

    Give all seeds of a study together: a verdict that depends on the seed is recorded as such.
    A recorded verdict changes only with a reason.
    """
    from overparam._files import write_whole
    from overparam._json import to_json
    from overparam.claims.recorded import record
    from overparam.claims.results import gathered, read_results

    if into is not None and not into.is_dir():
        raise UsageError(f"--into must be a folder that exists, not {into}.")
    for result in gathered(read_results(files)):
        written = record(result, because)
        if into is not None:
            write_whole(into / f"{result['study']}.{result['size']}.json", to_json(result))
        runs = 1 + len(result["repeated"])
        said = "as recorded" if written is None else f"recorded in {written}"
        print(f"{result['study']} ({result['size']}, runs: {runs}): {said}", file=sys.stderr)


def study_table(
    files: Results,
    write: Annotated[
        Path | None, typer.Option(help="Put the table between its marks in this page.")
    ] = None,
    every_claim: Annotated[
        bool, typer.Option("--every-claim", help="What each claim gave with each seed.")
    ] = False,
) -> None:
    """Of each study, how many claims of its paper stored results reproduce, in Markdown."""
    from overparam._files import write_whole
    from overparam.claims.catalogue import study_names
    from overparam.claims.results import read_results
    from overparam.claims.table import claim_tables, put_between, verdict_table

    results = read_results(files)
    table = claim_tables(results) if every_claim else verdict_table(results, study_names())
    if write is None:
        print(table)
        return
    expect_files(files, write=write)
    write_whole(write, put_between(write.read_text(encoding="utf-8"), table))
    print(f"table: {write}", file=sys.stderr)


def study_report(
    files: Results,
    html: Annotated[Path, typer.Option("--html", help="Where the page goes.")] = Path(
        "studies.html"
    ),
) -> None:
    """Draw one offline page of all studies: what holds, what does not, what would change that."""
    expect_files(files, html=html)
    from overparam._files import write_whole
    from overparam.claims.results import read_results
    from overparam.report.catalogue import render_catalogue

    print(f"page: {write_whole(html, render_catalogue(read_results(files)))}", file=sys.stderr)
