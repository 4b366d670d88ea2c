"""A process model from a file: coefficients of the relations, or a program of one's own."""

import dataclasses
import runpy
import tomllib
from pathlib import Path
from typing import Any

from overparam._errors import UsageError, expect, unknown
from overparam._files import expect_readable
from overparam.battery.process import CoatingProcess, ProcessModel


def load_process(path: str | Path) -> ProcessModel:
    """The process model that a file describes.

    A ``.toml`` file holds arguments of `CoatingProcess`, and windows under ``[bounds]``; what it
    leaves out stays as it is. A ``.py`` file is run as a program of yours, and its function
    ``process()`` gives the model.

    Raises:
        ValueError: If the file is neither, is no TOML, or names what there is not.
        UsageError: If a program raises; its error is in the message.
        TypeError: If `process()` gives no `ProcessModel`.
        OSError: If the file cannot be read.

    Example:
        ::

            wet_gap = 200e-6        # line.toml
            [bounds]
            solids = [0.60, 0.68]
    """
    path = Path(path)
    where = f"battery design --process {path}"
    expect_readable(path, where)
    suffix = path.suffix.lower()
    expect(suffix in (".toml", ".py"), where, "a .toml or a .py file", path.name)
    return _of_program(path, where) if suffix == ".py" else _of_coefficients(path, where)


def _of_coefficients(path: Path, where: str) -> CoatingProcess:
    """The relations with the coefficients of a file."""
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as problem:
        expect(False, where, "TOML", f"a file that is not ({problem})")
    known = {field.name: field for field in dataclasses.fields(CoatingProcess)}
    for name in given:
        if name not in known:
            unknown(where, "a coefficient", name, known)
    bounds = given.pop("bounds", {})
    expect(isinstance(bounds, dict), where, "windows under [bounds]", bounds)
    default = CoatingProcess()
    for name in bounds:
        if name not in default.bounds:
            unknown(where, "a parameter", name, default.bounds)
    windows = {
        name: tuple(window) if isinstance(window, list) else window
        for name, window in bounds.items()
    }
    return dataclasses.replace(default, **given, bounds={**default.bounds, **windows})


def _of_program(path: Path, where: str) -> ProcessModel:
    """What a file's function `process` gives."""
    try:
        members = runpy.run_path(str(path))
        process: Any = members.get("process")
        found: Any = process() if callable(process) else None
    except Exception as problem:  # whatever the user's own code raises
        raise UsageError(f"{path}: {type(problem).__name__}: {problem}.") from problem
    expect(callable(process), where, "a function process()", "none")
    expected = "process() to give a process model, with bounds, smallest_porosity and structure"
    expect(isinstance(found, ProcessModel), where, expected, type(found).__name__, error=TypeError)
    return found
