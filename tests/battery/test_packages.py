"""The extra: named where it is missing, and quiet where it is there."""

import os

import pytest

from overparam.battery.packages import expect_packages, package
from overparam.errors import MissingPackage


def test_a_missing_package_names_the_extra():
    with pytest.raises(MissingPackage, match=r"no no_such_package.\nHint: pip install 'overparam"):
        expect_packages("here(...)", "json", "no_such_package")
    with pytest.raises(MissingPackage, match=r"overparam\[battery\]"):
        package("no_such_package.inside")


@pytest.mark.parametrize("before", [None, "false"])
def test_importing_asks_nothing_and_leaves_the_environment_as_it_was(before, monkeypatch, tmp_path):
    monkeypatch.delenv("PYBAMM_DISABLE_TELEMETRY", raising=False)
    if before is not None:
        monkeypatch.setenv("PYBAMM_DISABLE_TELEMETRY", before)
    (tmp_path / f"asking_{before}.py").write_text(
        "import os\nSEEN = os.environ.get('PYBAMM_DISABLE_TELEMETRY')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert package(f"asking_{before}").SEEN == "true"
    assert os.environ.get("PYBAMM_DISABLE_TELEMETRY") == before
