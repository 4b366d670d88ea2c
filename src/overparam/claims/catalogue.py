"""The studies there are: found by being there."""

import importlib
from pathlib import Path

from overparam._errors import expect, unknown
from overparam.claims.header import Header, read_header
from overparam.claims.study import PAPERS, Study

_FOLDER = Path(__file__).parents[1] / PAPERS.rpartition(".")[2]


def study_names() -> list[str]:
    """Names of all studies, sorted: files and folders of papers without a leading underscore."""
    return sorted(_paths())


def study_header(name: str) -> Header:
    """What a study says of itself, without importing it (or torch).

    Raises:
        ValueError: If there is no such study; the nearest name is offered.
    """
    return read_header(_path(name))


def load_study(name: str) -> Study:
    """Import a study.

    Raises:
        ValueError: If there is no such study; the nearest name is offered.
        TypeError: If its file defines no `STUDY`.
    """
    _path(name)
    study = getattr(importlib.import_module(f"{PAPERS}.{name}"), "STUDY", None)
    expect(
        isinstance(study, Study),
        f"study {name!r}",
        "a file with `STUDY = Study(...)`",
        f"a {type(study).__name__}",
        error=TypeError,
    )
    return study  # pyright: ignore[reportReturnType]


def _paths() -> dict[str, Path]:
    files = {path.stem: path for path in _FOLDER.glob("[!_]*.py")}
    return files | {path.parent.name: path for path in _FOLDER.glob("[!_]*/__init__.py")}


def _path(name: str) -> Path:
    paths = _paths()
    if name not in paths:
        unknown(f"study {name}", "a study", name, paths)
    return paths[name]
