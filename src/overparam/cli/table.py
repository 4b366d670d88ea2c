"""The commands about a table: fit a model to it, predict its rows."""

import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from overparam._errors import UsageError
from overparam._output import expect_files, expect_folder, print_table
from overparam.cli.options import LAST_SEED, MOST_JOBS, Cluster, PageFile, ResultFile
from overparam.cli.printed import print_reading, write_found
from overparam.cli.words import as_typed


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
    time: Annotated[
        str | None,
        typer.Option(help="A column of dates: later rows are predicted from earlier ones."),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(help="A column that names what belongs together: folds keep groups whole."),
    ] = None,
    scale: Annotated[
        str | None, typer.Option(help="linear, log or sqrt, on which a quantity is learned.")
    ] = None,
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
    expect_files([file], json=json, html=html)
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
            number_of_folds=folds, compare_with_baselines=baselines, time=time, group=group,
            scale=scale, seed=seed, n_jobs=jobs, progress=progress,  # pyright: ignore
            command=as_typed(),
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


def predict(
    model: Annotated[Path, typer.Argument(help="The folder that `fit --save` wrote.")],
    file: Annotated[Path, typer.Argument(help="A table (FILE.csv, .xlsx, …) of such columns.")],
    output: Annotated[
        Path | None, typer.Option(help="FILE.csv to write; by default the terminal.")
    ] = None,
    interval: Annotated[
        float | None,
        typer.Option(help="Of a quantity, also the ends of an interval of this level, as 0.9."),
    ] = None,
) -> None:
    """Predict the rows of a table by a saved model; a column for the target is appended."""
    expect_files([file, model], output=output)
    from overparam._files import replacing
    from overparam.datasets.tables import read_frame
    from overparam.fitting.saved_model import load_model

    saved = load_model(model)
    name = f"predicted {saved.target}"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        frame = read_frame(file)
        outputs = saved.outputs(saved.coordinates(frame))
        ends = None
        if interval is not None:
            warnings.simplefilter("ignore")  # what sets the rows apart was said
            ends = saved.predict_interval(frame, interval)
    for warning in caught:
        print(f"warning: {warning.message}", file=sys.stderr)
    best = saved.classes[outputs.argmax(1)] if saved.class_names else outputs[:, 0]
    predicted = frame.assign(**{name: best})
    for index, known in enumerate(saved.class_names):
        predicted[f"P({known})"] = outputs[:, index]
    if ends is not None:
        predicted[f"{name}, low"], predicted[f"{name}, high"] = ends.T
    if output is None:
        predicted.to_csv(sys.stdout, index=False)
        return
    with replacing(output) as table:
        predicted.to_csv(table, index=False)
    print(f"predictions: {output}", file=sys.stderr)
