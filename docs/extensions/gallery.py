"""Which examples are run for the gallery, and how their pictures look."""

import re
from pathlib import Path

from extras import is_missing
from sphinx.application import Sphinx

PARTS = ("training", "tangent_kernel", "features", "clustering")  # in the order of the page
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def examples() -> list[Path]:
    """Every example of the gallery. Files beside its folders are specifications, and not in it."""
    return sorted(EXAMPLES.glob("*/*.py"))


def missing(example: Path) -> list[str]:
    """The extras that an example says it needs and that are not installed."""
    named = re.findall(r"overparam\[(\w+)\]", example.read_text("utf-8"))
    return [extra for extra in dict.fromkeys(named) if is_missing(extra)]


def style(gallery_conf: dict, example: str | Path) -> None:
    """Matplotlib as every example finds it, and one thread: more wait for one another."""
    import matplotlib
    import torch

    torch.set_num_threads(1)

    matplotlib.rcdefaults()
    matplotlib.use("agg")
    matplotlib.rcParams.update(
        {
            "figure.constrained_layout.use": True,
            "figure.figsize": (6.4, 3.6),
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    )


CONFIGURATION = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "ignore_pattern": "|".join(re.escape(path.name) for path in EXAMPLES.glob("*.py")),
    "filename_pattern": "|".join(
        re.escape("/".join(path.parts[-2:])) for path in examples() if not missing(path)
    ),
    "subsection_order": [f"../examples/{part}" for part in PARTS],
    "within_subsection_order": "FileNameSortKey",
    "capture_repr": (),
    "reset_modules": ("gallery.style",),
    "image_srcset": ["2x"],
    "download_all_examples": False,
    "write_computation_times": False,
    "min_reported_time": 3600,  # seconds of whatever machine built the page
    "show_signature": False,
    "doc_module": ("overparam",),
    "nested_sections": True,
}


def say_why(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put at the head of an example that was not run what it lacks."""
    path = EXAMPLES / f"{docname.removeprefix('gallery/')}.py"
    if docname.startswith("gallery/") and path.exists() and (lacks := missing(path)):
        note = f".. note:: Not run here: needs ``pip install 'overparam[{','.join(lacks)}]'``."
        source[0] = re.sub(r"^(=+)$", rf"\1\n\n{note}", source[0], count=1, flags=re.MULTILINE)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the note."""
    app.connect("source-read", say_why)
    return {"parallel_read_safe": True}
