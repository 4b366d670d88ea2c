"""How the pages are tested: on one thread, without the copies of examples that a build makes."""

import os
import re
import sys
from pathlib import Path

import pytest
import torch

# Scripts that import their neighbour are no modules.
collect_ignore_glob = [
    "gallery/*",
    "images/figure.py",
    "images/page.py",
    "images/electrode.py",
    "images/first_diagnosis.py",
]
sys.path.insert(0, str(Path(__file__).parent / "extensions"))
from extras import is_missing  # noqa: E402

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))

_NEEDS = re.compile(r"Needs\s`pip install 'overparam\[(\w+)\]'`")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out pages of tools that are not installed; what those tools warn of is their own."""
    for item in items:
        if item.path.suffix != ".md" or Path(__file__).parent not in item.path.parents:
            continue
        for extra in _NEEDS.findall(item.path.read_text("utf-8")):
            item.add_marker(pytest.mark.filterwarnings("ignore:::lightning|transformers|torch"))
            if is_missing(extra):
                words = f"needs pip install 'overparam[{extra}]'"
                item.add_marker(pytest.mark.skip(reason=words))
