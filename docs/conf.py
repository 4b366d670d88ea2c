import importlib
import pkgutil
import re
from importlib.metadata import version as installed_version

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import overparam

project = "overparam"
author = "The overparam developers"
copyright = "2026, The overparam developers"
version = release = installed_version("overparam")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "overparam"
html_show_sphinx = False

# What pages and docstrings point at must exist. Exempt are other projects, whose inventories
# would need a connection, and the types in signatures, some of which are not public.
nitpicky = True
nitpick_ignore_regex = [("py:class", ".*"), ("py:.*", r"(?!overparam\.).*")]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
maximum_signature_line_length = 80
python_use_unqualified_type_names = True
napoleon_custom_sections = ["Cost", ("State", "params_style")]
napoleon_use_ivar = True
napoleon_use_rtype = False
# Single backquotes in docstrings hold what can be typed.
default_role = "code"

_SECTION = re.compile(r"(Args|Attributes|Returns|Yields|Raises|State|Cost|Example|References):$")


def public_packages() -> list[str]:
    """Every package of the library that offers names."""
    found = [
        f"overparam.{module.name}"
        for module in pkgutil.iter_modules(overparam.__path__)
        if module.ispkg and not module.name.startswith("_")
    ]
    return [name for name in found if getattr(importlib.import_module(name), "__all__", [])]


class PublicPackages(SphinxDirective):
    """The reference of every public package, found by being there."""

    def run(self) -> list[nodes.Node]:
        """One section per package, its members in the order of their files."""
        sections = []
        for package in public_packages():
            section = nodes.section(ids=[nodes.make_id(package)], names=[package])
            section += nodes.title(package, package)
            text = [f".. automodule:: {package}", "   :members:", "   :imported-members:"]
            self.state.nested_parse(StringList(text, source=package), 0, section)
            sections.append(section)
        return sections


def keep_formulas(app, what, name, obj, options, lines: list[str]) -> None:
    """Show the indented lines before the first section of a docstring as they were typed."""
    kept: list[str] = []
    in_sections = False
    for line in lines:
        in_sections = in_sections or bool(_SECTION.match(line))
        formula = line.startswith("    ") and not in_sections
        if formula and kept and not kept[-1] and not "".join(kept[-2:-1]).startswith("    "):
            kept.extend(["::", ""])
        kept.append(line if formula or line.lstrip().startswith((">>>", "...")) else bars(line))
    lines[:] = kept


def bars(line: str) -> str:
    """The line with the bars of |λ| escaped, outside of backquotes: they would be a reference."""
    pieces = line.split("`")
    pieces[::2] = [piece.replace("|", r"\|") for piece in pieces[::2]]
    return "`".join(pieces)


def skip_routing(app, what, name, obj, skip, options) -> bool | None:
    """Leave out the methods scikit-learn gives every estimator; they point into its own pages."""
    routing = name == "get_metadata_routing" or re.fullmatch(r"set_\w+_request", name)
    return True if routing else None


def setup(app: Sphinx) -> None:
    """Register the directive and the treatment of formulas."""
    app.add_directive("public-packages", PublicPackages)
    # Before napoleon, which rewrites the sections.
    app.connect("autodoc-process-docstring", keep_formulas, priority=100)
    app.connect("autodoc-skip-member", skip_routing)
