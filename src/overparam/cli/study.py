"""The commands about studies: published claims, computed."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overparam._errors import UsageError
from overparam._output import json_files, print_table
from overparam.cli.options import (
    Cluster,
    Jobs,
    JsonFile,
    Names,
    Seed,
    Size,
    SomeNames,
    StoreFile,
)
from overparam.cli.printed import print_claims

if TYPE_CHECKING:
    from collections.abc import Sequence


def study_list() -> None:
    """All studies, and the claim each checks."""
    from overparam.claims.catalogue import study_header, study_names

    print_table(["study", "claim"], [[name, study_header(name).title] for name in study_names()])


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
        ["claim", "statement", "kind", "paper", "reproduced if"],
        [
            [
                claim.name,
                claim.statement,
                claim.kind,
                claim.paper,
                f"{claim.passes}: {claim.tolerance}",
            ]
            for claim in load_study(name).claims
        ],
    )


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
    """Like run, and exit with status 1 if a verdict is another one than is recorded.

    For better or for worse: `study record` changes what is recorded, with a reason. Where nothing
    is recorded, "weaker" and "not reproduced" are failures; "not testable at this size" is none,
    it says that a larger size has to be run, or that a set of data is not here.
    """
    from overparam.claims.catalogue import study_names
    from overparam.claims.recorded import absent_sets, surprises, unjudged

    if bool(names) == everything:
        raise UsageError("`study check` takes names of studies, or --all for every one.")
    if everything:
        names = with_what_they_need(study_names())
    assert names
    documents = run_studies(names, size, json, jobs, cluster, seed, store)
    unexpected = [
        [document["study"], claim, expected]
        for document in documents
        for claim, expected in surprises(document).items()
    ]
    for document in documents:
        if lacking := unjudged(document):
            sets = ", ".join(absent_sets(document))
            print(f"{document['study']}: {len(lacking)} claims were not judged, since data are not "
                  f"here ({sets}); OVERPARAM_DATA names their folder", file=sys.stderr)  # fmt: skip
    if unexpected:
        print(f"\n{len(unexpected)} not as recorded:")
        print_table(["study", "claim", "recorded"], unexpected)
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
