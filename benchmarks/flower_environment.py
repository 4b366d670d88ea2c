"""Flower's environment, .peers/flower: `python3 x.py flower` makes it, `… run APP` runs `flwr`.

It cannot be the project's: the releases of Flower want older packages than ours. What is installed
is pinned in flower_constraints.txt. overparam itself is put in without its dependencies, of which
the federated part needs few.
"""

import os
import subprocess
import sys
from pathlib import Path

from peer_environment import ROOT, environment

PINS = Path(__file__).with_name("flower_constraints.txt")
FLWR_HOME = ROOT / ".peers" / "flower-home"
# Flower reports to its makers, asks for updates and installs what an app names, unless told not to.
QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1", "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_OFFLINE": "1",
}  # fmt: skip


def flower() -> Path:
    """Python of the environment, which is made if it is not there."""
    pins = [line.split("#")[0].strip() for line in PINS.read_text("utf-8").splitlines()]
    python = environment("flower", [pin for pin in pins if pin])
    subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "--no-deps", "-e", str(ROOT)],
        check=True, timeout=600,
    )  # fmt: skip
    return python


def switches(home: Path = FLWR_HOME) -> dict[str, str]:
    """The environment variables of whatever runs there."""
    home.mkdir(parents=True, exist_ok=True)
    return {**os.environ, **QUIET, "FLWR_HOME": str(home)}


def main() -> int:
    python = flower()
    words = sys.argv[1:]
    if not words:
        print(f"Flower is in {python.parents[1]}; python3 x.py flower run hub/flower")
        return 0
    # It takes this process's place, as long as it may take.
    tool = str(python.with_name("flwr"))
    os.execve(tool, [tool, *words], switches())


if __name__ == "__main__":
    sys.exit(main())
