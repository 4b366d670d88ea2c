"""Public names by the places they had: they work, and the warning says the new one."""

import importlib
import subprocess
import sys

import pytest

import overparam
import overparam._deprecated as module

MOVED = next(f.names for f in sys.meta_path if isinstance(f, module._Elsewhere))


@pytest.mark.parametrize("old", MOVED)
def test_a_module_that_moved_is_the_one_of_today(old: str) -> None:
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=f"{old} is now {MOVED[old]}; .* until 0.3"):
        found = importlib.import_module(old)
    today = importlib.import_module(MOVED[old])
    assert found is today
    assert today.__spec__ is not None
    assert today.__spec__.name == today.__name__ == MOVED[old]


def test_a_name_of_a_module_that_moved_is_imported_with_one_warning() -> None:
    code = "from overparam.expansions.curvature import GGNOperator; print(GGNOperator.__module__)"
    ran = subprocess.run(
        [sys.executable, "-W", "always::DeprecationWarning:__main__", "-c", code],
        capture_output=True, text=True, check=True, timeout=240,
    )  # fmt: skip
    assert ran.stdout.strip() == "overparam.curvature.gauss_newton"
    assert ran.stderr.count("works until 0.3") == 1


def test_other_modules_are_looked_for_as_before() -> None:
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        importlib.import_module("overparam.nowhere")
    with pytest.raises(AttributeError, match="'nowhere'"):
        overparam.expansions.nowhere  # pyright: ignore  # noqa: B018
