"""Documents with anything in any place: a page, or one clear error; never a foreign one."""

import copy
import json
import os
import random

import pytest

from overparam.report import page
from overparam.report.documents import read_documents

# In all; OVERPARAM_FUZZ=3700 takes two minutes.
EXAMPLES = int(os.environ.get("OVERPARAM_FUZZ", "300"))
PARTS = 10


def nested(depth: int, inside: object = 1) -> object:
    for _ in range(depth):
        inside = [inside]
    return inside


HOSTILE = [
    None, True, 0, -1, 2.5, 7, "", "high", "<b>&amp;", "\ud800", "a" * 5000, "1e5", "\0",
    10**400, -(10**400), 10**305, 1e308, -1e308, 5e-324, 1e-300, 1e200, float("nan"), float("inf"),
    -float("inf"), [], {}, [None], [[]], [{}], {"a": 1}, {"value": [1]}, {"step": None}, [1] * 50,
    ["a", "b"], [1, "a"], [[1, 2], [3]], nested(30), nested(80), {"\udcff": "\udcff"}, {"": 0},
]  # fmt: skip


def places(value, place=()):
    """Every place in a document."""
    yield place
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        if isinstance(inner, dict | list):
            yield from places(inner, (*place, key))
        else:
            yield (*place, key)


def mutated(document: dict, rng: random.Random) -> dict:
    """A copy with one to three parts replaced, removed, repeated or put under another name."""
    document = copy.deepcopy(document)
    for _ in range(rng.choice((1, 1, 2, 3))):
        # By depth first: most places are numbers deep inside a series.
        known = [place for place in places(document) if place]
        depth = rng.choice(sorted({len(place) for place in known}))
        *above, last = rng.choice([place for place in known if len(place) == depth])
        part = document
        for key in above:
            part = part[key]
        how = rng.randrange(6)
        if how == 0:
            del part[last]
        elif how == 1 and isinstance(part, dict):
            part[rng.choice(["kind", "step", "value", "loss", "names", "x"])] = part.pop(last)
        elif how == 2 and isinstance(part, list):
            part.extend(part[last : last + 1] * 300)
        else:
            part[last] = copy.deepcopy(rng.choice(HOSTILE))
        if not document:
            break
    return document


def torn(text: str, rng: random.Random) -> bytes:
    """The bytes of a document, some of them changed or its end cut off."""
    content = bytearray(text.encode("utf-8", "replace"))
    if rng.random() < 0.3:
        return bytes(content[: rng.randrange(len(content))])
    for _ in range(rng.choice((1, 3, 20))):
        content[rng.randrange(len(content))] = rng.randrange(256)
    return bytes(content)


def drawn_or_refused(source) -> bool:
    """Whether there is a page, whole; a refusal has to be ours."""
    try:
        documents = read_documents(source)
        html = page.render(documents)
    except ValueError as error:
        if not str(error).startswith("`"):
            raise
        return False
    html.encode("utf-8")
    drawings = html.partition('id="drawings">')[2].partition("</script>")[0]
    json.loads(drawings, parse_constant=lambda word: pytest.fail(f"{word} in the drawings"))
    return True


@pytest.mark.parametrize("part", range(PARTS))
def test_a_mutated_document_is_a_page_or_one_clear_error(part, one_of_each, tmp_path, monkeypatch):
    monkeypatch.setattr(page, "plotly", str)  # 1.5 MB for each page
    rng = random.Random(part)
    pages = 0
    for count in range(EXAMPLES // PARTS):
        document = mutated(one_of_each[count % len(one_of_each)], rng)
        source = tmp_path / "document.json"
        text = json.dumps(document)
        source.write_bytes(torn(text, rng) if count % 5 == 4 else text.encode())
        pages += drawn_or_refused(source)
    assert 0.05 < pages / (EXAMPLES // PARTS) < 0.95  # neither of them is all there is


def test_documents_of_a_program_are_held_to_the_same(one_of_each):
    for document in one_of_each:
        assert drawn_or_refused(document)
        for hostile in (object(), {1, 2}, b"bytes", nested(2000)):
            assert not drawn_or_refused({**document, "data": {"name": hostile}})
