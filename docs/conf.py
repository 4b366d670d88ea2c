import re
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent / "extensions"))
from gallery import CONFIGURATION

project = "overparam"
author = "The overparam developers"
copyright = "2026, The overparam developers"
version = release = installed_version("overparam")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sphinx_reredirects",
    "gallery",
    "reference_pages",
]
exclude_patterns = ["_build", "extensions"]
html_theme = "furo"
# Furo's own underlines the names of modules, as if they were links.
pygments_dark_style = "github-dark"
html_title = "overparam"
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["site.css"]

# Neither prompts nor what a command answers are copied.
copybutton_exclude = ".linenos, .gp, .go"

# Built from ../examples; what is missing there is said on the page.
sphinx_gallery_conf = CONFIGURATION

# Pages keep their old addresses.
redirects = {"api": "reference/index.html"}
for folder, pages in {
    "how-to": "diagnose monitor catapults label-noise stopping optimizers tables fit data cluster "
    "studies",
    "explanation": "concepts tangent-kernel infinite-width alignment pl-condition networks "
    "grokking",
}.items():
    redirects |= {page: f"{folder}/{page}.html" for page in pages.split()}

# What pages and docstrings point at must exist. Exempt are other projects, whose inventories
# would need a connection, and the types in signatures, some of which are not public.
nitpicky = True
nitpick_ignore_regex = [("py:class", ".*"), ("py:.*", r"(?!overparam\.).*")]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autosummary_generate = False
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


def end_blocks(app, name, text: list[str]) -> None:
    """Take out the blank line that ends what a doctest expects: readers would see a gap."""
    text[0] = text[0].replace("\n\n```\n", "\n```\n")


def break_names(app, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Let names of claims, which are long, go on in the next line after an underscore."""
    if pagename == "reference/claims":
        context["body"] = re.sub(
            r"(?<=<span class=\"pre\">)\w+", lambda name: name[0].replace("_", "_<wbr>"),
            context["body"],
        )  # fmt: skip


def setup(app: Sphinx) -> None:
    """Register the treatment of formulas, methods and blocks."""
    app.connect("source-read", end_blocks)
    # Before napoleon, which rewrites the sections.
    app.connect("autodoc-process-docstring", keep_formulas, priority=100)
    app.connect("autodoc-skip-member", skip_routing)
    app.connect("html-page-context", break_names)
