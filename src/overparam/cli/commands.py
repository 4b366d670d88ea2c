"""Which commands there are, and how a command line is run.

What each takes and what its help says stands in the file of its subject.
"""

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overparam._ending import ended
from overparam._errors import UsageError
from overparam._output import expect_files
from overparam._signals import ends_when_asked
from overparam.cli import battery, federate, network, results, study, table, words

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(
    name="overparam",
    help="Measure, explain and train over-parameterized PyTorch models.",
    add_completion=False,
    no_args_is_help=True,
)
study_app = typer.Typer(
    help="Published claims, checked by computing them.", no_args_is_help=True, add_completion=False
)
battery_app = typer.Typer(
    help="Electrodes of batteries, by design.", no_args_is_help=True, add_completion=False
)

app.command("diagnose")(network.diagnose)
app.command("lr")(network.suggest)
app.command("fit", no_args_is_help=True)(table.fit)
app.command("predict", no_args_is_help=True)(table.predict)


@app.command()
def report(
    files: Annotated[
        list[Path], typer.Argument(help="Written by diagnose, fit or study.", metavar="FILE.json…")
    ],
    html: Annotated[Path, typer.Option("--html", help="Where the page goes.")] = Path(
        "report.html"
    ),
) -> None:
    """Draw one offline page from stored results."""
    expect_files(files, html=html)
    from overparam.report.page import write_report

    print(f"page: {write_report(files, html)}", file=sys.stderr)


app.command("watch", no_args_is_help=True)(network.watch)
app.add_typer(study_app, name="study")
study_app.command("list")(study.study_list)
study_app.command("show")(study.study_show)
study_app.command("run")(study.study_run)
study_app.command("check")(study.study_check)
study_app.command("record")(results.study_record)
study_app.command("table")(results.study_table)
study_app.command("report")(results.study_report)
app.add_typer(battery_app, name="battery")
battery_app.command("design")(battery.battery_design)
app.command("federate", no_args_is_help=True)(federate.federate)


@app.callback(invoke_without_command=True)
def overparam(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Measure, explain and train over-parameterized PyTorch models."""
    if version:
        from importlib.metadata import version as installed

        print(f"overparam {installed('overparam')}")
        raise typer.Exit


@ends_when_asked
def main(arguments: "Sequence[str] | None" = None) -> int:
    """Run the command line and return its exit status.

    0 is fine, 1 a claim that failed under `check` or a cell that could not be computed, 2
    misuse, 70 a mistake of ours, 130 an interruption, 128 + n another signal that asked it
    to end. Misuse and requests are one line on stderr.

    Args:
        arguments: Words after the program's name; `None` means those of this process.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    words.keep(given)
    return ended(lambda: run(given))


def run(given: "Sequence[str]") -> int:
    """Run a command, which may raise anything; its status."""
    if any("\0" in word for word in given):
        raise UsageError("an argument holds a NUL character, which no name of a file can.")
    command = typer.main.get_command(app)
    usual = warnings.formatwarning

    def told(message: Any, category: Any, filename: str, *where: Any) -> str:
        """A warning; without its place if that is where typer calls the command."""
        if filename == typer.main.__file__:
            return f"warning: {message}\n"
        return usual(message, category, filename, *where)

    warnings.formatwarning = told
    try:
        with warnings.catch_warnings():
            # joblib replaces workers that grew, and warns; they grow by what torch keeps for later.
            warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
            # Not `main`, which has its own mind about broken pipes and the ends of files.
            with command.make_context("overparam", list(given)) as context:
                command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    finally:
        warnings.formatwarning = usual
    return 0
