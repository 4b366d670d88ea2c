"""What a study says of itself in its docstring, read without importing it."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from overparam._errors import expect

SECTIONS = ("Reference", "Changed", "Cost", "Failure")


@dataclass(frozen=True)
class Header:
    """Title and sections of a study.

    Attributes:
        name: The study's name.
        title: The claim, as one falsifiable sentence with a number.
        reference: The paper, and which figure, table or theorem.
        changed: What differs from the paper, and why.
        cost: Of each size.
        failure: What it would mean if a claim were not reproduced.
    """

    name: str
    title: str
    reference: str
    changed: str
    cost: str
    failure: str


def read_header(path: Path) -> Header:
    """The header of the study in a file, parsed and never executed."""
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    name = path.parent.name if path.name == "__init__.py" else path.stem
    return parse_header(name, ast.get_docstring(tree) or "")


def parse_header(name: str, docstring: str) -> Header:
    r"""Split a docstring into its first line and its sections, paragraphs rejoined.

    Raises:
        ValueError: If a section is missing or empty.

    Example:
        >>> text = "Two is 2.\n\nReference:\n    Me.\nChanged:\n    No.\n"
        >>> header = parse_header("two", text + "Cost:\n    1 s.\nFailure:\n    Odd.\n")
        >>> header.title, header.cost
        ('Two is 2.', '1 s.')
    """
    title, _, body = docstring.strip().partition("\n")
    parts = re.split(r"^(\w+):[ \t]*$", body, flags=re.MULTILINE)[1:]
    texts = {
        section: " ".join(text.split())
        for section, text in zip(parts[::2], parts[1::2], strict=True)
    }
    missing = [section for section in SECTIONS if not texts.get(section)]
    expect(
        title and not missing,
        f"study {name!r}",
        f"a docstring with a title and the sections {', '.join(SECTIONS)}",
        f"none of {', '.join(missing)}" if missing else "no title",
    )
    return Header(name, title, *(texts[section] for section in SECTIONS))
