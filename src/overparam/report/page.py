"""From documents to one HTML page that needs nothing but a browser."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from overparam._errors import expect
from overparam._files import expect_writable, write_whole
from overparam.report.assets import admission, asset, plotly, templates
from overparam.report.diagnosis import diagnosis_view
from overparam.report.documents import read_documents
from overparam.report.electrode import electrode_view
from overparam.report.federated import federated_view
from overparam.report.fit import fit_view
from overparam.report.rate import rate_view
from overparam.report.run import run_view
from overparam.report.study import study_view

VIEWS = {
    "diagnosis": diagnosis_view,
    "rate": rate_view,
    "run": run_view,
    "fit": fit_view,
    "study": study_view,
    "electrode": electrode_view,
    "federated": federated_view,
}


def render(documents: Sequence[Mapping]) -> str:
    """One HTML page of the documents, complete in itself.

    The page asks nothing of any host: style, script and the drawing library lie in it, and its
    content security policy admits no others. Text of the documents is shown, never interpreted.

    Args:
        documents: Diagnoses, rates, runs, fits, studies and electrodes, read from their JSON;
            ``"kind"`` tells which. `None` stands for what was not measured; sections without
            numbers are left out.

    Returns:
        The page. Of its 1.6 MB and more Plotly is 1.5; a long diagnosis is up to 0.3.

    Raises:
        ValueError: If there is no document, or one is none of these.

    Cost:
        Under a second, dominated by Plotly's size.

    Example:
        >>> page = render([{"kind": "study", "title": "2 + 2 = 4 <within 1e-9>"}])
        >>> "2 + 2 = 4 &lt;within 1e-9&gt;" in page
        True
    """
    expect(documents, "render(documents=...)", "at least one diagnosis, fit or study", "none")
    checked = [document for source in documents for document in read_documents(source)]
    return page([VIEWS[document["kind"]](document) for document in checked])


def write_report(sources: Sequence[Path | str | Mapping], path: Path | str) -> Path:
    """The page of several sources, written to a file whole or not at all.

    Args:
        sources: Documents, or JSON files that hold one document or a list of them.
        path: The HTML file. One that exists is replaced, and only once the new page is complete.

    Returns:
        `path`.

    Raises:
        ValueError: If a source cannot be read or is no diagnosis, fit or study, or the
            folder does not exist; nothing is written.
        OSError: If the page cannot be written.
    """
    path = Path(path)
    where = f"write_report(..., {str(path)!r})"
    expect_writable(path, where)
    documents = [document for source in sources for document in read_documents(source)]
    return write_whole(path, render(documents))


def page(
    views: list[dict[str, Any]],
    title: str = "",
    columns: Sequence[str] = ("result", "kind", "outcome"),
) -> str:
    """The template, filled in with what each part's own template shows.

    Args:
        views: A view of each part.
        title: Of the whole, by default that of the only part or how many there are.
        columns: What those of the overview are called.
    """
    drawings = {}
    for index, view in enumerate(views):
        view["anchor"] = f"part-{index + 1}"
        for figure in view["figures"]:
            drawings[f"{view['anchor']}-{len(drawings) + 1}"] = figure
        view["drawn"] = {
            key: figure for key, figure in drawings.items() if key.startswith(f"{view['anchor']}-")
        }
    scripts = [plotly(), asset("plots.js")]
    return (
        templates()
        .get_template("page.html.j2")
        .render(
            views=views,
            title=title or (views[0]["title"] if len(views) == 1 else f"{len(views)} results"),
            several=len(views) > 1,
            columns=columns,
            level=2 if len(views) > 1 else 1,
            style=Markup(asset("style.css")),
            scripts=[Markup(script) for script in scripts],
            hashes=admission(scripts),
            drawings={key: figure.drawing for key, figure in drawings.items()},
        )
    )
