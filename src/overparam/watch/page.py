"""The page of a run, and what changes in it."""

import json
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from jinja2 import ChoiceLoader, PackageLoader
from markupsafe import Markup

from overparam.report.assets import admission, asset, plotly, templates
from overparam.report.events import event_table
from overparam.report.figures.figure import Figure
from overparam.watch.figures import ORDER, run_facts, run_figures
from overparam.watch.run import RunFile

# A sign of the report's and a sentence for each state of a run.
STATES = {
    "unreadable": ("warning", "the record cannot be read"),
    "reading": ("unknown", "reading the record"),
    "waiting": ("unknown", "waiting for the run to begin"),
    "running": ("info", "running"),
    "silent": ("unknown", "running elsewhere, silent for a while"),
    "stopped": ("warning", "stopped without finishing"),
    "finished": ("good", "finished"),
}


def page(run: RunFile) -> bytes:
    """The page without numbers; its script asks for them.

    Cost:
        About 1.5 MB, of which Plotly is all but a little, and the tenth of a second to fill it in.
    """
    scripts = [plotly(), asset("plots.js"), _script()]
    return (
        _templates_here()
        .get_template("watch.html.j2")
        .render(
            title=run.path.name,
            style=Markup(asset("style.css")),
            own_style=Markup(_own("watch.css")),
            scripts=[Markup(script) for script in scripts],
            hashes=admission(scripts),
            figures=list(ORDER),
        )
        .encode(errors="replace")  # a name on disk need not be text
    )


class Drawn(NamedTuple):
    """A figure as the page takes it, or none.

    Attributes:
        seen: What `RunFile.changed` said of its series when it was drawn.
        content: Title, caption, legend and drawing.
        text: The same as JSON.
    """

    seen: int
    content: dict[str, Any] | None
    text: str


def update(run: RunFile, drawn: dict[str, Drawn] | None = None) -> dict[str, Any]:
    """Everything that may have changed, as plain data and escaped HTML.

    Args:
        run: The run, as far as it has been read.
        drawn: The figures of the last time; those whose series have changed are drawn anew, and
            take their place.

    Cost:
        A few milliseconds a figure that is drawn, however long the run: see `RunFile`.
    """
    drawn = {} if drawn is None else drawn
    _draw(run, drawn)
    parts, events = _parts(), run.document([])["events"]
    return {
        "state": run.state(),
        "facts": str(parts.facts_of(*_stated(run), run_facts(run))),
        "events": str(parts.events_of(event_table(events[::-1]))),
        "figures": {name: drawn[name].content for name in ORDER if drawn[name].content},
    }


def answer(run: RunFile, version: str, drawn: dict[str, Drawn]) -> bytes:
    """The update with its version, as JSON."""
    news = {"version": version, **update(run, drawn)}
    texts = (f'"{name}":{drawn[name].text}' for name in news.pop("figures"))
    head = json.dumps(news, allow_nan=False)[:-1]
    return f'{head},"figures":{{{",".join(texts)}}}}}'.encode()


def _draw(run: RunFile, drawn: dict[str, Drawn]) -> None:
    """Draw what has changed."""
    seen = {name: run.changed(series) for name, (_, series) in ORDER.items()}
    stale = [name for name in ORDER if name not in drawn or drawn[name].seen != seen[name]]
    document = run.document({key for name in stale for key in ORDER[name][1]})
    figures = run_figures(document, stale)
    for name in stale:
        content = _content(figures[name]) if name in figures else None
        drawn[name] = Drawn(seen[name], content, json.dumps(content, allow_nan=False))


def _content(figure: Figure) -> dict[str, Any]:
    """What the page's script puts into the figure's place."""
    return {
        "title": figure.title,
        "caption": figure.caption,
        "legend": str(_parts().legend_of(figure)),
        # Zooming stays as it is while numbers come in.
        "drawing": figure.drawing | {"layout": {**figure.layout, "uirevision": "run"}},
        "height": figure.layout["height"],
        "wide": figure.wide,
    }


def _stated(run: RunFile) -> tuple[str, str]:
    """The state's sign, and its sentence."""
    level, words = STATES[run.state()]
    more = {"reading": f", {run.progress:.0%}", "unreadable": f": {run.problem}"}
    return level, words + more.get(run.state(), "")


def _parts() -> Any:
    return _templates_here().get_template("watch-parts.html.j2").module


@cache
def _templates_here() -> Any:
    """The report's templates, with those of this folder beside its own."""
    here = templates().overlay()
    here.loader = ChoiceLoader([PackageLoader("overparam.watch"), templates().loader])  # pyright: ignore
    return here


def _script() -> str:
    return _own("watch.js")


@cache
def _own(name: str) -> str:
    return files("overparam.watch").joinpath("templates", name).read_text(encoding="utf-8")
