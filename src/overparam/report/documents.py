"""Results as the report reads them: JSON documents, checked before anything is drawn."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from overparam._errors import expect, unknown
from overparam._files import expect_readable
from overparam.errors import InvalidValue
from overparam.report.schema import (
    DIAGNOSIS,
    ELECTRODE,
    FEDERATED,
    FIT,
    RATE,
    RUN,
    STUDY,
    Misshapen,
    Place,
)

KINDS = ("diagnosis", "rate", "run", "fit", "study", "electrode", "federated")
# Sections that a page takes for granted, empty where a document has none.
_OBJECTS = {
    "diagnosis": ("environment", "model", "data", "advice", "series"),
    "rate": ("environment", "curve"),
    "run": ("environment", "model", "series"),
    "fit": ("environment", "model", "data", "series"),
    "study": ("environment", "series"),
    "electrode": ("environment", "process", "surrogate", "hypervolume", "series"),
    "federated": ("environment", "spec", "data", "clients"),
}
_LISTS = {
    "diagnosis": ("statements", "events", "suspects"),
    "rate": ("trials", "statements"),
    "run": ("probes", "events"),
    "fit": ("scores", "statements"),
    "study": ("claims",),
    "electrode": ("objectives", "statements"),
    "federated": ("statements", "runs", "tuning"),
}
_SHAPES = {
    "diagnosis": DIAGNOSIS,
    "rate": RATE,
    "run": RUN,
    "fit": FIT,
    "study": STUDY,
    "electrode": ELECTRODE,
    "federated": FEDERATED,
}
_LARGEST_FILE = 256 * 2**20
# What is larger counts as infinite: sums and ratios of such numbers are.
_LARGEST_NUMBER = 1e300
_DEEPEST = 64


def read_documents(source: Path | str | Mapping) -> list[dict]:
    """The documents of a source: a mapping, or a JSON file that holds one or a list of them.

    Numbers that are not finite (a file written by Python may say `NaN`), or beyond 1e300, become
    `None`, which is how the documents spell "not measured".

    Raises:
        ValueError: If a file cannot be read, is larger than 256 MiB, is not JSON, or holds
            something that is no document of these kinds. The message names the file, and the place
            in it.
    """
    if isinstance(source, Mapping):
        return [_document(source, "render(documents=...)")]
    where = f"write_report({str(source)!r}, ...)"
    expected = (
        "a JSON file written by `overparam diagnose`, `lr`, `fit`, `study run` or `battery design`"
    )
    try:
        expect_readable(source, where, _LARGEST_FILE)
        text = Path(source).read_bytes()
    except OSError as error:
        problem = error.strerror or "no such file"
        raise InvalidValue(
            f"`{where}` expected {expected}, got {type(error).__name__}: {problem}."
        ) from None
    try:
        content = json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        expect(False, where, expected, f"a file that is not JSON ({error})")
    documents = content if isinstance(content, list) else [content]
    expect(documents, where, expected, "an empty list")
    return [_document(document, where) for document in documents]


def _document(content: Any, where: str) -> dict:
    """One checked document, as plain data of its own."""
    expect(isinstance(content, Mapping), where, "a JSON object", type(content).__name__)
    try:
        document = _plain(content, ())
        kind = document.get("kind") or _evident_kind(document)
        if kind not in KINDS:
            unknown(where, "a document's kind", str(kind), KINDS)
        _SHAPES[kind](document, ())
    except Misshapen as problem:
        first, *inner = problem.place
        part = f"in the series {inner[0]!r}" if first == "series" and inner else f"under {first!r}"
        found = f"{_what(problem.found)} at {_spelt(problem.place)}"
        raise InvalidValue(f"`{where}` expected {problem.expected} {part}, got {found}.") from None
    objects = {name: document.get(name) or {} for name in _OBJECTS[kind]}
    return {**dict.fromkeys(_LISTS[kind]), **document, **objects, "kind": kind}


def _evident_kind(content: Mapping) -> str:
    """The kind of a document that leaves it out, by the key only that kind has."""
    only = {
        "study": "study",
        "advice": "diagnosis",
        "curve": "rate",
        "probes": "run",
        "scores": "fit",
        "surrogate": "electrode",
        "runs": "federated",
    }
    return next((kind for key, kind in only.items() if key in content), "missing")


def _spelt(place: Place) -> str:
    """A place in a document, as ``series.loss.value[3]``."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return _what("".join(parts).lstrip("."), longest=80).strip("'")


def _what(value: Any, longest: int = 40) -> str:
    """A value in a message: itself where that is short, else its type and its beginning."""
    text = repr(value)
    return text if len(text) <= longest else f"{type(value).__name__} {text[: longest - 4]}…"


def _plain(value: Any, place: Place) -> Any:
    """A copy of plain data; `None` for every number that is not finite, no broken letters."""
    if len(place) > _DEEPEST:
        raise Misshapen(place[:1], f"at most {_DEEPEST} levels", "more")
    if isinstance(value, Mapping):
        copied = {_whole(str(key)): item for key, item in value.items()}
        return {key: _plain(item, (*place, key)) for key, item in copied.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, (*place, index)) for index, item in enumerate(value)]
    if isinstance(value, str):
        return _whole(value)
    if isinstance(value, int | float):
        return value if -_LARGEST_NUMBER <= value <= _LARGEST_NUMBER else None
    if value is not None:
        raise Misshapen(place, "plain data", value)
    return None


def _whole(text: str) -> str:
    """Text without the halves of letters that a name of a file or an escape may leave."""
    return text.encode("utf-8", "replace").decode() if not text.isascii() else text
