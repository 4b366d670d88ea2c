"""Results as the report reads them: JSON documents, checked before anything is drawn."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from overparam._errors import expect, unknown

KINDS = ("diagnosis", "fit", "study")
_SECTIONS = {
    "diagnosis": {
        "environment": Mapping,
        "model": Mapping,
        "data": Mapping,
        "advice": Mapping,
        "series": Mapping,
        "statements": list,
        "events": list,
        "suspects": list,
    },
    "fit": {
        "environment": Mapping,
        "model": Mapping,
        "data": Mapping,
        "series": Mapping,
        "scores": list,
        "statements": list,
    },
    "study": {"environment": Mapping, "series": Mapping, "claims": list},
}


def read_documents(source: Path | str | Mapping) -> list[dict]:
    """The documents of a source: a mapping, or a JSON file that holds one or a list of them.

    Numbers that are not finite (a file written by Python may say `NaN`) become `None`, which is
    how the documents spell "not measured".

    Raises:
        ValueError: If a file cannot be read, is not JSON, or holds something that is no
            diagnosis, fit or study. The message names the file.
    """
    if isinstance(source, Mapping):
        return [_document(source, "render(documents=...)")]
    where = f"write_report({str(source)!r}, ...)"
    expected = "a JSON file written by `overparam diagnose`, `fit` or `study run`"
    try:
        content = json.loads(Path(source).read_text(encoding="utf-8"))
    except OSError as error:
        expect(False, where, expected, f"{type(error).__name__}: {error.strerror or error}")
    except (ValueError, RecursionError) as error:
        expect(False, where, expected, f"a file that is not JSON ({error})")
    documents = content if isinstance(content, list) else [content]
    expect(documents, where, expected, "an empty list")
    return [_document(document, where) for document in documents]


def _document(content: Any, where: str) -> dict:
    """One checked document, as plain data of its own."""
    expect(isinstance(content, Mapping), where, "a JSON object", type(content).__name__)
    kind = content.get("kind") or _evident_kind(content)
    if kind not in KINDS:
        unknown(where, "a document's kind", str(kind), KINDS)
    document = {**_finite(content), "kind": kind}
    for name, shape in _SECTIONS[kind].items():
        section = document.get(name)
        if section is None:
            document[name] = None if shape is list else {}
            continue
        expected = "a list" if shape is list else "an object"
        expect(isinstance(section, shape), where, f"{expected} under {name!r}", _what(section))
        if shape is list:
            rows = [_what(row) for row in section if not isinstance(row, Mapping)]
            expect(not rows, where, f"a list of objects under {name!r}", ", ".join(rows[:1]))
    for name, entry in document["series"].items():
        _check_series(name, entry, kind, where)
    return document


def _check_series(name: str, entry: Any, kind: str, where: str) -> None:
    """A series is an object, a list of them, or nothing; a measured one holds numbers."""
    parts = entry if isinstance(entry, list) else [] if entry is None else [entry]
    for part in parts:
        expect(isinstance(part, Mapping), where, f"objects in the series {name!r}", _what(part))
        if kind == "diagnosis":
            _check_columns(name, part, where)


def _check_columns(name: str, entry: Mapping, where: str) -> None:
    """Columns hold numbers, and one to each step where there are steps."""
    if "step" in entry and "value" in entry:
        steps, values = entry["step"], entry["value"]
        paired = isinstance(steps, list) and isinstance(values, list) and len(steps) == len(values)
        expect(paired, where, f"as many values as steps in the series {name!r}", _what(values))
    for key, column in entry.items():
        if key != "names":
            cells = column if isinstance(column, list) else [column]
            odd = [_what(v) for v in cells if not isinstance(v, int | float | None)]
            expect(not odd, where, f"numbers in the series {name!r}", ", ".join(odd[:1]))


def _evident_kind(content: Mapping) -> str:
    """The kind of a document that leaves it out, by the key only that kind has."""
    only = {"study": "study", "advice": "diagnosis", "scores": "fit"}
    return next((kind for key, kind in only.items() if key in content), "missing")


def _what(value: Any) -> str:
    """A value in a message: its type, and itself where that is short."""
    text = repr(value)
    return text if len(text) <= 40 else f"{type(value).__name__} {text[:36]}…"


def _finite(value: Any) -> Any:
    """A copy of plain data with `None` for every number that is not finite."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
