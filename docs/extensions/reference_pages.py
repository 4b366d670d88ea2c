"""The pages of the reference: one for each package, one for the command line.

They are written when a build begins, from what is there, and are not kept.
"""

import inspect
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from public_names import described, opened
from sphinx.application import Sphinx

COMMANDS = """# The command line

`overparam --help`, and every command after it. From a checkout, `python3 x.py run diagnose …` is
`overparam diagnose …`.

"""


def package_page(door: str, names: dict[str, str]) -> str:
    """The page of one package, in reStructuredText."""
    title = door.removeprefix("overparam.")
    lines = [title, "=" * len(title), ""]
    module = opened(door)
    if isinstance(module, ImportError):
        return "\n".join([*lines, "Not described here, where its tool is not installed:", "", *(
            f"    {line}" for line in str(module).splitlines()
        ), ""])  # fmt: skip
    lines += [f".. automodule:: {door}", "   :no-members:", ""]
    own = [name for name, full in names.items() if full == f"{door}.{name}"]
    others = {name: full for name, full in names.items() if name not in own}
    if others:
        lines += ["Described with the package that each belongs to:", ""]
        for name, full in others.items():
            role = "mod" if inspect.ismodule(getattr(module, name)) else "obj"
            lines.append(f"- :py:{role}:`{name} <{full}>`")
        lines += [""]
    if own:
        lines += [".. autosummary::", "   :nosignatures:", ""]
        lines += [*(f"   {name}" for name in own), ""]
    for title, group in grouped(module, own):
        lines += [title, "-" * len(title), ""]
        for name in group:
            lines += directive(door, name, getattr(module, name))
    return "\n".join(lines)


def contents(doors: Iterable[str]) -> str:
    """A list of the packages, each with the first sentence of what it says of itself."""
    lines: list[str] = []
    for door in sorted(doors):
        module, title = opened(door), door.removeprefix("overparam.")
        absent = isinstance(module, ImportError)
        said = "a tool that is not installed here" if absent else inspect.getdoc(module) or ""
        lines += [f"[{title}](packages/{door}.rst)", f": {said.partition(chr(10))[0]}", ""]
    return "\n".join(lines)


def grouped(module: object, names: list[str]) -> Iterator[tuple[str, list[str]]]:
    """The names by the file that defines them, in its order, under what the file says it is."""
    files: dict[str, list[str]] = {}
    for name in names:
        files.setdefault(getattr(getattr(module, name), "__module__", None) or "", []).append(name)
    for file, group in sorted(files.items()):
        text = inspect.getdoc(sys.modules[file]) if file in sys.modules else None
        title = (text or "Constants.").split("\n\n")[0].replace("\n", " ").rstrip(".")
        yield re.sub(r"([*|_\\])", r"\\\1", title), sorted(group, key=lambda n: line(module, n))


def line(module: object, name: str) -> int:
    """Where a name is defined in its file."""
    try:
        return inspect.getsourcelines(getattr(module, name))[1]
    except (OSError, TypeError):
        return 0


def directive(door: str, name: str, value: object) -> list[str]:
    """What describes one name."""
    if inspect.isclass(value):
        kind = "exception" if issubclass(value, BaseException) else "class"
        # What a class has from a file that is not public is described as its own.
        own = any(b.__module__.startswith("overparam._") for b in value.__mro__[1:])
        members = ["   :members:", "   :inherited-members:"] if own else ["   :members:"]
        return [f".. auto{kind}:: {door}.{name}", *members, ""]
    return [f".. auto{'function' if callable(value) else 'data'}:: {door}.{name}", ""]


def command_page() -> str:
    """The page of the command line, in Markdown: Typer's own."""
    commands = "overparam.cli.commands"
    words = [sys.executable, "-m", "typer", commands, "utils", "docs", "--name", "overparam"]
    text = subprocess.run(
        words, capture_output=True, text=True, check=True, encoding="utf-8", timeout=240
    ).stdout
    return COMMANDS + text.split("\n", 1)[1].lstrip()


def write_pages(app: Sphinx) -> None:
    """Write the pages that changed, and take away those of packages that are gone."""
    reference = Path(app.srcdir, "reference")
    names_of = dict(described())
    pages = {f"packages/{door}.rst": package_page(door, names) for door, names in names_of.items()}
    pages["contents.inc"] = contents(names_of)
    pages["command-line.md"] = command_page()
    (reference / "packages").mkdir(exist_ok=True)
    for path in (reference / "packages").glob("*.rst"):
        if f"packages/{path.name}" not in pages:
            path.unlink()
    for name, text in pages.items():
        path = reference / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the pages before Sphinx looks for them."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True}
