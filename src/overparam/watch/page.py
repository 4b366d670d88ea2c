"""The page of a run, and what changes in it."""

from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import ChoiceLoader, PackageLoader
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from overparam.report.events import event_table
from overparam.report.page import _asset, _digest, _environment
from overparam.watch.figures import ORDER, run_facts, run_figures
from overparam.watch.run import RunFile

# A sign of the report's and a sentence for each state of a run.
STATES = {
    "waiting": ("unknown", "waiting for the run to begin"),
    "running": ("info", "running"),
    "silent": ("unknown", "running elsewhere, silent for a while"),
    "stopped": ("warning", "stopped without finishing"),
    "finished": ("good", "finished"),
}


def page(run: RunFile) -> bytes:
    """The page without numbers; its script asks for them."""
    scripts = [get_plotlyjs(), _asset("plots.js"), _script()]
    return (
        _environment_here()
        .get_template("watch.html.j2")
        .render(
            title=run.path.name,
            style=Markup(_asset("style.css")),
            own_style=Markup(_own("watch.css")),
            scripts=[Markup(script) for script in scripts],
            hashes=" ".join(f"'sha256-{_digest(script)}'" for script in scripts),
            figures=list(ORDER),
        )
        .encode()
    )


def update(run: RunFile) -> dict[str, Any]:
    """Everything that may have changed, as plain data and escaped HTML."""
    document = run.document()
    parts = _environment_here().get_template("watch-parts.html.j2").module
    state = run.state()
    level, words = STATES[state]
    figures = {}
    for name, figure in run_figures(document).items():
        figures[name] = {
            "title": figure.title,
            "caption": figure.caption,
            "legend": str(parts.legend_of(figure)),  # pyright: ignore
            # Zooming stays as it is while numbers come in.
            "drawing": {"data": figure.data, "layout": {**figure.layout, "uirevision": "run"}},
            "height": figure.layout["height"],
            "wide": figure.wide,
        }
    facts = run_facts(document, run.last_step)
    return {
        "state": state,
        "facts": str(parts.facts_of(level, words, facts)),  # pyright: ignore
        "events": str(parts.events_of(event_table(document["events"][::-1]))),  # pyright: ignore
        "figures": figures,
    }


@cache
def _environment_here() -> Any:
    """The report's environment, with the templates of this folder beside its own."""
    here = _environment().overlay()
    here.loader = ChoiceLoader([PackageLoader("overparam.watch"), _environment().loader])  # pyright: ignore
    return here


def _script() -> str:
    return _own("watch.js")


@cache
def _own(name: str) -> str:
    return files("overparam.watch").joinpath("templates", name).read_text(encoding="utf-8")
