"""What a page consists of beside its numbers: scripts, style and templates, inlined."""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from overparam.report.figures.legend import legend
from overparam.report.numbers import MISSING, number


@cache
def asset(name: str) -> str:
    """A file of the template folder."""
    return files("overparam.report").joinpath("templates", name).read_text(encoding="utf-8")


@cache
def plotly() -> str:
    """The library that draws the figures: the bundle in the folder of its name."""
    folder = files("overparam.report").joinpath("plotly")
    return folder.joinpath("plotly-cartesian.min.js").read_text(encoding="utf-8")


def admission(scripts: Sequence[str]) -> str:
    """What a page's security policy admits these scripts by: no others can run."""
    return " ".join(f"'sha256-{_digest(script)}'" for script in scripts)


@cache
def templates() -> Environment:
    """Jinja with escaping everywhere and no silence about a missing name."""
    environment = Environment(
        loader=PackageLoader("overparam.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    environment.filters["legend"] = legend
    environment.globals["missing"] = MISSING
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment


@cache
def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
