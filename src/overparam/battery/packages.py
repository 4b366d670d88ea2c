"""What the extra `battery` brings, imported when it is needed."""

import importlib
import importlib.util
import os
from types import ModuleType
from typing import Any

from overparam._errors import complaint, expect

_HINT = "pip install 'overparam[battery]'."
# Importing PyBaMM asks at a terminal whether it may report its use, and waits for the answer.
_NO_REPORTS = "PYBAMM_DISABLE_TELEMETRY"


def expect_packages(where: str, *packages: str) -> None:
    """Raise unless the packages are installed; imports none of them.

    Raises:
        MissingPackage: If one is missing; the message names the extra.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    expect(not missing, where, f"the packages {', '.join(packages)}", f"no {', '.join(missing)}",
           _HINT, ImportError)  # fmt: skip


def package(name: str) -> Any:
    """A package of the extra, or a module of one.

    Raises:
        MissingPackage: If it cannot be imported; the message names the extra.
    """
    before = os.environ.get(_NO_REPORTS)
    os.environ[_NO_REPORTS] = "true"
    try:
        found: ModuleType = importlib.import_module(name)
    except ImportError as problem:
        expected = f"the package {name.partition('.')[0]}"
        raise complaint("overparam.battery", expected, problem, _HINT, ImportError) from problem
    finally:
        if before is None:
            os.environ.pop(_NO_REPORTS, None)
        else:
            os.environ[_NO_REPORTS] = before
    return found
