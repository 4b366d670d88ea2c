"""The reference: every public name and every command is described in it."""

import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import typer

import overparam
from overparam.cli import app as command_line

DOCS = Path(__file__).resolve().parents[1] / "docs"
pytest.importorskip("myst_parser", reason="the documentation's tools are not installed")
sphinx = pytest.importorskip("sphinx.application", reason="Sphinx is not installed")

CONF = """
import sys
from docutils.parsers.rst import Directive, directives
sys.path.insert(0, {extensions!r})
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary",
              "sphinx.ext.napoleon", "reference_pages"]
autosummary_generate = False
default_role = "code"

# Names are asked for: not what is said of them, nor what they have themselves.
def names_alone(app, page, source):
    source[0] = source[0].replace("   :members:\\n", "").replace("   :inherited-members:\\n", "")

class Nothing(Directive):
    has_content = True
    option_spec = {{"nosignatures": directives.flag}}

    def run(self):
        return []

def setup(app):
    app.connect("source-read", names_alone)
    app.connect("autodoc-process-docstring", lambda *given: given[-1].clear(), priority=1)
    app.add_directive("autosummary", Nothing, override=True)
"""


def public_modules() -> Iterator[ModuleType]:
    """Every package that offers names, and every tool that a monitor goes into."""
    yield overparam
    for found in pkgutil.walk_packages(overparam.__path__, "overparam."):
        private = "._" in found.name or found.name.startswith("overparam.studies.")
        tool = found.name.startswith("overparam.integrations.")
        if private or not (found.ispkg or tool):
            continue
        try:
            yield importlib.import_module(found.name)
        except ImportError:
            if not tool:  # the one that it is for is not installed
                raise


def public_names(module: ModuleType) -> list[str]:
    """What a module offers: its `__all__`, and of a tool's module its classes."""
    return getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__ and name[0] != "_"
    ]


def undescribed(modules: Iterable[ModuleType], described: set[str]) -> Iterator[str]:
    """Public names that no page describes, under their own or another public name."""
    things = {id(resolved(full)) for full in described}
    for module in modules:
        for name in public_names(module):
            full, value = f"{module.__name__}.{name}", getattr(module, name)
            elsewhere = callable(value) and id(value) in things
            if full not in described and not elsewhere and not inspect.ismodule(value):
                yield full


def resolved(full: str) -> object:
    """What a full name stands for, `None` for a module or what is not there."""
    module, _, name = full.rpartition(".")
    return getattr(sys.modules.get(module), name, None)


def commands(of: typer.Typer = command_line, before: str = "overparam") -> list[str]:
    """Every command as it is typed."""
    found = []
    for command in of.registered_commands:
        assert command.callback is not None
        found.append(f"{before} {command.name or command.callback.__name__.replace('_', '-')}")
    for group in of.registered_groups:
        assert group.typer_instance is not None
        name = f"{before} {group.name or group.typer_instance.info.name}"
        found += [name, *commands(group.typer_instance, name)]
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The pages of the reference alone, read by Sphinx and not written."""
    folder = tmp_path_factory.mktemp("reference")
    (folder / "reference").mkdir()
    (folder / "index.rst").write_text("x\n=\n\n.. toctree::\n   :glob:\n\n   reference/**\n")
    (folder / "conf.py").write_text(CONF.format(extensions=str(DOCS / "extensions")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what its extensions use of it and should not
        built = sphinx.Sphinx(
            folder, folder, folder / "out", folder / "trees", "dummy", status=None
        )
        built.builder.read()
    return built


def test_every_public_name_is_described(built):
    described = set(built.env.get_domain("py").objects)
    assert list(undescribed(public_modules(), described)) == []


def test_every_command_is_described(built):
    text = Path(built.srcdir, "reference", "command-line.md").read_text("utf-8")
    assert set(re.findall(r"^#+ `(.*)`$", text, re.MULTILINE)) == set(commands())


def test_every_package_has_a_line_on_the_first_page(built):
    folder = Path(built.srcdir, "reference")
    lines = (folder / "contents.inc").read_text("utf-8")
    links, said = zip(*re.findall(r"\((packages/.*)\)\n: (.*)\n", lines), strict=True)
    assert sorted(links) == sorted(f"packages/{path.name}" for path in folder.glob("packages/*"))
    assert all(len(words) > 10 for words in said)


def test_a_name_that_is_missing_is_noticed():
    module = ModuleType("overparam.new")
    module.__all__, module.Found, module.Missing, module.SIZE = (
        ["Found", "Missing", "SIZE"],
        1,
        2,
        3,
    )
    assert list(undescribed([module], {"overparam.new.Found"})) == [
        "overparam.new.Missing",
        "overparam.new.SIZE",
    ]


def test_probes_and_integrations_are_public():
    names = {module.__name__ for module in public_modules()}
    assert {"overparam", "overparam.dynamics.probes"} <= names
    if importlib.util.find_spec("wandb"):
        assert "overparam.integrations.wandb" in names
