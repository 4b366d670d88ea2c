"""Environments for peers, one each: what a benchmark compares with is never a dependency.

    python = environment("nngeometry", ["nngeometry==0.4"])
    subprocess.run([python, "peer_script.py"])

They stand in .peers/ beside .venv, are made once and again when their requirements change.
"""

import hashlib
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def environment(name: str, requirements: Sequence[str], *, with_torch: bool = True) -> Path:
    """Python of an environment that has `requirements`.

    Args:
        name: Folder under .peers/.
        requirements: What pip installs, with exact versions.
        with_torch: Install the tested torch first, so that no requirement brings another build,
            and hold it there.

    Returns:
        Path of its interpreter.

    Raises:
        subprocess.CalledProcessError: If pip fails; its message is on standard error.
    """
    folder = ROOT / ".peers" / name
    python, stamp = folder / "bin/python", folder / "set-up-finished"
    constraints = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    torch = [line.split("#")[0].strip() for line in constraints if line.startswith("torch==")]
    pinned = torch if with_torch else []
    wanted = hashlib.sha256(repr((sys.version, pinned, *requirements)).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    print(f"setting up .peers/{name}: {', '.join(requirements)}", file=sys.stderr, flush=True)
    venv.EnvBuilder(with_pip=True).create(folder)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if pinned:
        subprocess.run([*install, *pinned], check=True, timeout=3600)
    subprocess.run([*install, *pinned, *requirements], check=True, timeout=3600)
    stamp.write_text(wanted)
    return python
