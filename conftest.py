"""The pass that checks what annotations say, of whatever is tested: of pages and docstrings too."""

import os
import sys
from pathlib import Path

import pytest

# Before anything of the library is imported; test workers learn of it by the environment.
if "--typed" in sys.argv or "OVERPARAM_TYPED" in os.environ:
    os.environ["OVERPARAM_TYPED"] = "1"
    sys.path.append(str(Path(__file__).parent / "tests" / "typed"))
    import annotations

    annotations.install()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--typed`: the pass that checks what annotations say."""
    parser.addoption("--typed", action="store_true", help="check every annotation of overparam")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out of the typed pass what cannot be looked at there."""
    for item in items if config.getoption("--typed") else ():
        for mark in item.iter_markers("untyped"):
            item.add_marker(pytest.mark.skip(reason=f"not in the typed pass: {mark.args[0]}"))
