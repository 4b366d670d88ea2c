"""The command line: thin commands, each importing what it needs when it runs.

Longer than other files, for what a command takes and what its help says stand in one place.
"""

import shlex
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overparam._ending import ended
from overparam._errors import UsageError
from overparam._output import expect_files, expect_folder, json_files, print_table
from overparam._signals import ends_when_asked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from overparam._statement import Concluded

app = typer.Typer(
    name="overparam",
    help="Measure, explain and train over-parameterized PyTorch models.",
    add_completion=False,
    no_args_is_help=True,
)
study_app = typer.Typer(
    help="Published claims, checked by computing them.", no_args_is_help=True, add_completion=False
)
app.add_typer(study_app, name="study")
battery_app = typer.Typer(
    help="Electrodes of batteries, by design.", no_args_is_help=True, add_completion=False
)
app.add_typer(battery_app, name="battery")

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

# The words of this call, for the page to say how to repeat it.
_words: list[str] = []


@app.callback(invoke_without_command=True)
def overparam(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Measure, explain and train over-parameterized PyTorch models."""
    if version:
        from importlib.metadata import version as installed

        print(f"overparam {installed('overparam')}")
        raise typer.Exit


@app.command(no_args_is_help=False)
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
    expect_files(json=json, html=html)
    command = shlex.join(["overparam", *_words])
    began = time.perf_counter()  # loading torch is a part of the budget
    from overparam.diagnosis.command import run_diagnosis

    found = run_diagnosis(
        spec, data, loss, lr, epochs=epochs, budget=budget, batch_size=batch_size,
        max_steps=steps, seed=seed, device=device, command=command, began=began,
    )  # fmt: skip
    print_found(found, json, html)


@app.command("lr", no_args_is_help=False)
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
    expect_files(json=json, html=html)
    command = shlex.join(["overparam", *_words])
    began = time.perf_counter()
    from overparam.diagnosis.command import run_suggestion

    sizes = _listed(batch_sizes)
    if not all(size.isdecimal() for size in sizes):
        raise UsageError(f"--batch-sizes must be numbers such as 16,64, not {batch_sizes!r}.")
    found = run_suggestion(
        spec, data, loss, epochs=epochs, steps=steps, budget=budget, batch_size=batch_size,
        clip_norm=clip_norm, accumulate=accumulate, seed=seed, device=device, command=command,
        began=began, optimizers=_listed(optimizers), batch_sizes=[int(size) for size in sizes],
        keep=keep,
    )  # fmt: skip
    print_found(found, json, html)
    if found.stopped == "interrupted":
        raise typer.Exit(130)


def _listed(words: str) -> list[str]:
    """What commas separate."""
    return [word.strip() for word in words.split(",") if word.strip()]


def print_found(found: "Concluded", json: Path | None, html: Path | None) -> None:
    """Print what was found; write its numbers and its page where that was asked for."""
    print(found.summary())
    write_found(found, json, html)


def write_found(found: "Concluded", json: Path | None, html: Path | None) -> None:
    """Write the numbers and the page of what was found, where that was asked for."""
    if json is not None:
        found.to_json(json)
        print(f"numbers: {json}", file=sys.stderr)
    if html is not None:
        found.report(html)
        print(f"page: {html}", file=sys.stderr)


def print_reading(reading: list[dict[str, str]]) -> None:
    """What columns were taken for, a line for each kind."""
    groups: dict[str, list[str]] = {}
    for row in reading:
        if not row["reason"]:
            groups.setdefault(row["words"], []).append(row["name"])
    for words, names in groups.items():
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        print(f"{words}: {', '.join(names[:8])}{more}")
    if groups:
        print()


@app.command(no_args_is_help=True)
def fit(
    file: Annotated[
        str,
        typer.Argument(help="A table (FILE.csv, .xlsx, .parquet, …), FILE.npz, or a name."),
    ],
    target: Annotated[
        str | None,
        typer.Option(help="The column to predict; by default one called target, label, class, y."),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="classification or regression, if not as the target looks.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=KIND, what a column is to be taken for: number, date, yes/no, category, "
            "text, identifier, constant, 'day first', 'month first', 'decimal comma' or "
            "'decimal point'. Again for another.",
            metavar="NAME=KIND",
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(help="rfm, irkm for a few columns among many, or best: both, weighted.")
    ] = "rfm",
    folds: Annotated[int, typer.Option(help="Of the cross-validation.")] = 5,
    baselines: Annotated[bool, typer.Option(help="Cross-validate the usual models too.")] = True,
    seed: Annotated[int, typer.Option(help="Of folds and models.", min=0, max=LAST_SEED)] = 0,
    jobs: Annotated[
        int | None,
        typer.Option(help="Folds at a time; -1 means one per core.", min=-MOST_JOBS, max=MOST_JOBS),
    ] = None,
    cluster: Cluster = None,
    save: Annotated[
        Path | None, typer.Option(help="Write the model into this folder, for `predict`.")
    ] = None,
    json: ResultFile = None,
    html: PageFile = None,
) -> None:
    """Cross-validate a model of a table's column, and say which columns it uses."""
    expect_files(json=json, html=html)
    if task not in (None, "classification", "regression"):
        raise UsageError(f"--task must be classification or regression, not {task}.")
    columns = {}
    for words in column or []:
        name, equals, kind = words.rpartition("=")
        if not equals:
            raise UsageError(f"--column is NAME=KIND, such as price=number, not {words!r}.")
        columns[name] = kind
    if save is not None:
        from overparam.fitting.model_files import expect_model_folder

        expect_folder(save)
        expect_model_folder(save, "--save")
    from overparam._progress import Stages
    from overparam.cluster.connect import on_cluster
    from overparam.fitting.fit import fit as fit_table

    with on_cluster(cluster, n_jobs=jobs), Stages() as progress:
        found = fit_table(
            file, target, task=task, columns=columns, model=model,  # pyright: ignore
            number_of_folds=folds, compare_with_baselines=baselines, seed=seed, n_jobs=jobs,
            progress=progress, command=shlex.join(["overparam", *_words]),
        )  # fmt: skip
    print_reading(found.document["data"]["reading"])
    print(found.summary())
    print()
    print_table(
        ["model", found.document["model"]["metric"], "seconds"],
        [
            [score["name"], f"{score['mean']:.4f}", f"{score['seconds']:.1f}"]
            for score in sorted(found.document["scores"], key=lambda score: -score["mean"])
        ],
    )
    if save is not None:
        print(f"model: {found.model.save(save)}", file=sys.stderr)
    write_found(found, json, html)


@app.command(no_args_is_help=True)
def predict(
    model: Annotated[Path, typer.Argument(help="The folder that `fit --save` wrote.")],
    file: Annotated[Path, typer.Argument(help="A table (FILE.csv, .xlsx, …) of such columns.")],
    output: Annotated[
        Path | None, typer.Option(help="FILE.csv to write; by default the terminal.")
    ] = None,
) -> None:
    """Predict the rows of a table by a saved model; a column for the target is appended."""
    expect_files(output=output)
    from overparam._files import replacing
    from overparam.datasets.tables import read_frame
    from overparam.fitting.saved_model import load_model

    saved = load_model(model)
    frame = read_frame(file)
    name = f"predicted {saved.target}"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        outputs = saved.outputs(saved.coordinates(frame))
    for warning in caught:
        print(f"warning: {warning.message}", file=sys.stderr)
    best = saved.classes[outputs.argmax(1)] if saved.class_names else outputs[:, 0]
    predicted = frame.assign(**{name: best})
    for index, known in enumerate(saved.class_names):
        predicted[f"P({known})"] = outputs[:, index]
    if output is None:
        predicted.to_csv(sys.stdout, index=False)
        return
    with replacing(output) as table:
        predicted.to_csv(table, index=False)
    print(f"predictions: {output}", file=sys.stderr)


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
    from overparam.report.page import write_report

    print(f"page: {write_report(files, html)}", file=sys.stderr)


@app.command(no_args_is_help=True)
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


@battery_app.command("design")
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
            command=shlex.join(["overparam", *_words]),
        )  # fmt: skip
    except CellsFailed as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None
    print_found(found, json, html)
    if wanted:
        print(inverse_line(found, wanted))


@study_app.command("list")
def study_list() -> None:
    """All studies, and the claim each checks."""
    from overparam.claims.catalogue import study_header, study_names

    print_table(["study", "claim"], [[name, study_header(name).title] for name in study_names()])


@study_app.command("show")
def study_show(name: Annotated[str, typer.Argument(help="A study, as in `study list`.")]) -> None:
    """What a study claims, where that stands, what was changed, and what each size costs."""
    from overparam.claims.catalogue import load_study, study_header

    header = study_header(name)
    print(f"{header.title}\n")
    print_table(
        ["", ""],
        [[part, getattr(header, part)] for part in ("reference", "changed", "cost", "failure")],
    )
    print()
    print_table(
        ["claim", "statement", "paper", "reproduced if"],
        [
            [claim.name, claim.statement, claim.paper, f"{claim.passes}: {claim.tolerance}"]
            for claim in load_study(name).claims
        ],
    )


@study_app.command("run")
def study_run(
    names: Names,
    size: Size = "quick",
    json: JsonFile = None,
    jobs: Jobs = None,
    cluster: Cluster = None,
    seed: Seed = 0,
    store: StoreFile = None,
) -> None:
    """Compute studies and say what of their claims holds; finished cells are kept."""
    run_studies(names, size, json, jobs, cluster, seed, store)


@study_app.command("check")
def study_check(
    names: SomeNames = None,
    everything: Annotated[bool, typer.Option("--all", help="Every study.")] = False,
    size: Size = "quick",
    json: JsonFile = None,
    jobs: Jobs = None,
    cluster: Cluster = None,
    seed: Seed = 0,
    store: StoreFile = None,
) -> None:
    """Like run, and exit with status 1 if a claim is "weaker" or "not reproduced".

    "not testable at this size" is no failure: it says that a larger size has to be run.
    """
    from overparam.claims.catalogue import study_names

    if bool(names) == everything:
        raise UsageError("`study check` takes names of studies, or --all for every one.")
    if everything:
        names = with_what_they_need(study_names())
    assert names
    documents = run_studies(names, size, json, jobs, cluster, seed, store)
    claims = [claim for document in documents for claim in document["claims"]]
    if any(claim["verdict"] in ("weaker", "not reproduced") for claim in claims):
        raise typer.Exit(1)


def with_what_they_need(names: "Sequence[str]") -> list[str]:
    """The studies that can be computed here; why another one is skipped is said on stderr."""
    from overparam.claims.catalogue import load_study

    missing = {name: load_study(name).missing for name in names}
    for name, extra in missing.items():
        if extra:
            print(f"skipped: {name} needs pip install 'overparam[{extra}]'", file=sys.stderr)
    return [name for name in names if not missing[name]]


def run_studies(
    names: "Sequence[str]",
    size: str,
    json: Path | None,
    jobs: int | None,
    cluster: str | None,
    seed: int,
    store: Path | None,
) -> list[dict[str, Any]]:
    """Run studies one after the other; print each one's claims and write its JSON at once."""
    from overparam._files import write_whole
    from overparam._json import to_json
    from overparam.claims.catalogue import load_study
    from overparam.claims.run import CellsFailed, run_study
    from overparam.cluster.connect import on_cluster

    files = json_files(json, names)
    studies = [load_study(name) for name in names]
    documents = []
    with on_cluster(cluster, n_jobs=jobs):
        n_jobs = -1 if jobs is None else jobs
        for study, file in zip(studies, files, strict=True):
            try:
                document = run_study(study, size, seed=seed, n_jobs=n_jobs, store=store)
            except CellsFailed as error:
                print(error, file=sys.stderr)
                continue
            documents.append(document)
            if file is not None:
                write_whole(file, to_json(document))
            print_claims(document)
    if len(documents) < len(studies):
        raise typer.Exit(1)
    return documents


def print_claims(document: dict[str, Any]) -> None:
    """What became of each claim of a study."""
    print("{study} ({size}, seed {seed}, {seconds:.0f} s)".format(**document))
    print_table(
        ["claim", "measured", "reproduced if", "n", "verdict"],
        [
            [
                claim["name"],
                "—" if claim["measured"] is None else f"{claim['measured']:.4g}",
                claim["tolerance"].partition(":")[0],
                claim["n"],
                claim["verdict"],
            ]
            for claim in document["claims"]
        ],
    )


@ends_when_asked
def main(arguments: "Sequence[str] | None" = None) -> int:
    """Run the command line and return its exit status.

    0 is fine, 1 a claim that failed under `check` or a cell that could not be computed, 2
    misuse, 70 a mistake of ours, 130 an interruption, 128 + n another signal that asked it
    to end. Misuse and requests are one line on stderr.

    Args:
        arguments: Words after the program's name; `None` means those of this process.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    # A name may hold bytes that are no text; the page and the JSON show them escaped.
    _words[:] = [word.encode("utf-8", "backslashreplace").decode() for word in words]
    return ended(lambda: run(words))


def run(words: "Sequence[str]") -> int:
    """Run a command, which may raise anything; its status."""
    if any("\0" in word for word in words):
        raise UsageError("an argument holds a NUL character, which no name of a file can.")
    command = typer.main.get_command(app)
    try:
        # Not `main`, which has its own mind about broken pipes and the ends of files.
        with command.make_context("overparam", list(words)) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    return 0
