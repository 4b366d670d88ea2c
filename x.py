#!/usr/bin/env python3
"""Set up the project's environment once, then run a task in it.

    python3 x.py demo [ARGS...]     diagnose a network on real digits, write report.html
    python3 x.py test [ARGS...]     every test (ARGS go to pytest; --typed checks annotations, too)
    python3 x.py check [PATHS...]   format, lint and types
    python3 x.py bench [NAME ARGS...]  one of benchmarks/bench_NAME.py; without NAME, their list
    python3 x.py flower [ARGS...]   Flower in an environment of its own (ARGS go to `flwr`)
    python3 x.py docs [ARGS...]     the documentation, into docs/_build (ARGS go to Sphinx)
    python3 x.py wheel              build the wheel and use it in an environment of its own
    python3 x.py floors [ARGS...]   the tests with the lowest versions that pyproject.toml allows
    python3 x.py run ARGS...        the command line, inside the environment

`python3 x.py TASK --help` says more of one, at once: nothing is set up for it.

Needs Python 3.11 or newer with pip and venv, nothing else. What pip is told by its own
configuration or by PIP_ variables (an index, a proxy, a folder of wheels) is obeyed.
"""

import ast
import hashlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE / ".venv"
STAMP = VENV / "set-up-finished"
ADDED = VENV / "integrations-installed"
# A worker for each core: tests take one thread each. More than four would want much memory.
# One that is killed ends the run: xdist would wait for what it was at.
SIDE_BY_SIDE = (
    "-n", "auto", "--maxprocesses", "4", "--dist", "loadfile", "--max-worker-restart", "0",
)  # fmt: skip
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def fingerprint() -> str:
    """What the environment depends on: the interpreter, this folder, two requirement files."""
    digest = hashlib.sha256(sys.version.encode())
    # The prefix is the same inside .venv, the executable is not on every system. The folder
    # counts because an environment that was copied or moved still imports from its old place.
    digest.update(os.path.realpath(sys.base_prefix).encode())
    digest.update(str(HERE).encode())
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((HERE / name).read_bytes())
    return digest.hexdigest()


def is_set_up() -> bool:
    """Whether .venv is there and all that it depends on is as it was."""
    return PYTHON.exists() and STAMP.exists() and STAMP.read_text() == fingerprint()


def set_up() -> None:
    """Create .venv and install into it, unless that was done.

    The stamp is written last, so an interrupted set-up starts again, and a finished one is
    recognised without asking pip.
    """
    if is_set_up():
        return
    wanted = fingerprint()
    try:
        import ensurepip  # noqa: F401  (absent where a system splits venv off)
        import venv
    except ImportError:
        sys.exit(
            "x.py: this Python comes without venv.\n"
            "Hint: install it (Debian and Ubuntu: apt install python3-venv) and run x.py again."
        )
    print(
        "x.py: setting up .venv. The first time this downloads PyTorch and its companions\n"
        "      (about 1 GB for a CPU build; several GB where pip picks an accelerator build).",
        file=sys.stderr,
        flush=True,
    )
    try:
        venv.EnvBuilder(clear=True, with_pip=True).create(VENV)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(
            f"x.py: cannot make {VENV} ({error}).\n"
            "Hint: it needs a folder one may write to and no other program running from it."
        )
    # torch alone and first: a companion that asks for "torch" then finds it there and
    # cannot pull in another build.
    for packages in ([torch_pin()], ["-e", f"{HERE}[dev]"]):
        if install(*packages):
            sys.exit(
                f"x.py: pip could not install {' '.join(packages)} (its message is above).\n"
                "Hint: check the connection or pip's configuration (PIP_INDEX_URL, PIP_PROXY, "
                "PIP_FIND_LINKS), then run x.py again; it starts over. Where pip finds no "
                "matching version, try another Python: 3.11 is the one this is tested with."
            )
    STAMP.write_text(wanted)


def torch_pin() -> str:
    """The line of constraints.txt that pins torch."""
    return next(
        line.split("#")[0].strip()
        for line in (HERE / "constraints.txt").read_text("utf-8").splitlines()
        if line.startswith("torch==")
    )


def install(*packages: str) -> int:
    """Install into the environment what constraints.txt allows; pip's exit status."""
    command = (str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    return subprocess.call([*command, "-c", str(HERE / "constraints.txt"), *packages])


def add_integrations() -> None:
    """What a monitor reports to, clusters for cells, and what rooms of their own need, once."""
    set_up()
    if ADDED.exists():
        return
    print("x.py: adding the tools to test with (about 500 MB).", file=sys.stderr, flush=True)
    if install("skada", "-e", f"{HERE}[dev,integrations,cluster,transport,battery,search]"):
        print("x.py: without them their tests are skipped.", file=sys.stderr, flush=True)
    else:
        ADDED.touch()


def run(*command: str, cwd: Path | None = HERE) -> int:
    """Run a command in the environment, which is set up first; its exit status."""
    set_up()
    try:
        return subprocess.call([str(PYTHON), *command], cwd=cwd)
    except KeyboardInterrupt:
        return 130


def demo(*args: str) -> int:
    """Diagnose the built-in network on the bundled digits, and write report.html.

    ARGS are those of `python3 x.py run diagnose --help`.
    """
    return run("-m", "overparam", "diagnose", "--html", str(HERE / "report.html"), *args)


def test(*args: str) -> int:
    """Run every test, a worker for each core (at most four).

    ARGS go to pytest: `tests/linalg` or `-k lanczos` for some, `-n 0` for one process,
    `--typed` to check every annotation meanwhile.
    """
    add_integrations()
    return run("-m", "pytest", *SIDE_BY_SIDE, *args)


def check(*paths: str) -> int:
    """Format, lint and types; all three run, whatever the first finds.

    PATHS are files or folders, else the whole tree.
    """
    add_integrations()  # types of theirs are looked at too
    return max(
        run("-m", "ruff", "format", "--check", *paths),
        run("-m", "ruff", "check", *paths),
        run("-m", "pyright", *paths),
    )


def benchmarks() -> dict[str, Path]:
    """The file of each benchmark, by name."""
    found = sorted((HERE / "benchmarks").glob("bench_*.py"))
    return {path.stem[len("bench_") :]: path for path in found}


def page(path: Path) -> str:
    """The docstring of a file, which is read and not imported."""
    return ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""


def bench(*args: str) -> int:
    """Run one benchmark, or list them.

    `python3 x.py bench NAME --help` has the ARGS of one.
    """
    found = benchmarks()
    if not args:
        for name, path in found.items():
            print(f"{name:14}{page(path).partition(chr(10))[0]}".rstrip())
        return 0
    name, *rest = args
    if name not in found:
        print(f"x.py bench: expected one of {', '.join(found)}, got {name!r}.", file=sys.stderr)
        return 2
    if rest and rest[0] in HELP and not is_set_up():
        print(page(found[name]).encode("ascii", "replace").decode())
        return 0
    return run(str(found[name]), *rest)


def flower(*args: str) -> int:
    """Set up Flower's own environment, whose pins and ours exclude each other, or run it.

    Without ARGS it is made, in .peers/flower. ARGS go to Flower's command line, as in
    `python3 x.py flower run hub/flower`; what that has is said by `python3 x.py flower run -h`.
    """
    return run(str(HERE / "benchmarks" / "flower_environment.py"), *args)


def docs(*args: str) -> int:
    """Build the documentation into docs/_build/html; a warning is an error.

    ARGS go to sphinx-build: `-E` reads every page again.
    """
    sphinx = ("-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html")
    return run(*sphinx, *args, "docs", "docs/_build/html")


def new_environment(name: str) -> str:
    """Make an environment beside .venv anew; its Python."""
    import venv

    folder = HERE / name
    venv.EnvBuilder(clear=True, with_pip=True).create(folder)
    return str(folder / PYTHON.relative_to(VENV))


def each(*commands: list[str], cwd: Path = HERE) -> int:
    """Run commands until one fails; its exit status."""
    for command in commands:
        print("x.py: " + " ".join(command[1:]), file=sys.stderr, flush=True)
        try:
            status = subprocess.call(command, cwd=cwd)
        except KeyboardInterrupt:
            status = 130
        if status:
            return status
    return 0


def wheel(*args: str) -> int:
    """Build the wheel, install it without extras, and run what a newcomer runs first.

    Outside the checkout, so that nothing but the wheel can be imported.
    """
    import tempfile

    if args:
        print(f"x.py wheel: expected no arguments, got {' '.join(args)}.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        python = new_environment(".venv-wheel")
        pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        constraints = ["-c", str(HERE / "constraints.txt")]
        status = each([*pip, "wheel", "--no-deps", "--wheel-dir", folder, str(HERE)])
        if status:
            return status
        (built,) = map(str, Path(folder).glob("*.whl"))
        ours = [python, "-m", "overparam"]
        cells = str(Path(folder, "cells.sqlite"))
        return each(
            [*pip, "install", *constraints, torch_pin()],
            [*pip, "install", *constraints, built],
            [*pip, "check"],
            [*ours, "--help"],
            [*ours, "diagnose", "--budget", "10s", "--html", "page.html", "--json", "page.json"],
            [*ours, "fit", "iris", "--save", "model"],
            [*ours, "study", "check", "liu2022_weak_models", "--size", "smoke", "--store", cells],
            cwd=Path(folder),
        )


def floors(*args: str) -> int:
    """Run the tests with every dependency at its floor, resolved by plain pip.

    PyPI's own build of an old torch brings its accelerator's libraries: several GB. Tools to
    test with are the newest. ARGS go to pytest.
    """
    import tomllib

    project = tomllib.loads((HERE / "pyproject.toml").read_text("utf-8"))["project"]
    lowest = [asked.replace(">=", "==") for asked in project["dependencies"]]
    tools = [
        "pytest",
        "pytest-randomly",
        "pytest-timeout",
        "pytest-xdist",
        "hypothesis",
        "pyyaml",
        "pillow",
        "plotly",
    ]
    python = new_environment(".venv-floors")
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    return each(
        [*pip, "install", *lowest, *tools],
        [*pip, "install", "--no-deps", "-e", str(HERE)],
        [*pip, "check"],
        [python, "-m", "pytest", *SIDE_BY_SIDE, *(args or ("src", "tests"))],
    )


def command_line(*args: str) -> int:
    """Run `overparam ARGS...` in the environment and where you stand: relative paths are yours.

    `--help` after ARGS is that command's. Here it lists the commands, once the environment is
    there: diagnose, lr, fit, predict, watch, federate, battery, study, report.
    """
    return run("-m", "overparam", *args, cwd=None)


TASKS = {
    "demo": demo,
    "test": test,
    "check": check,
    "bench": bench,
    "flower": flower,
    "docs": docs,
    "wheel": wheel,
    "floors": floors,
    "run": command_line,
}


HELP = ("-h", "--help")


def help_of(name: str) -> int:
    """Print what a task is for; of `bench`, the list as well."""
    usage = [line.strip() for line in str(__doc__).splitlines() if f"x.py {name} " in line]
    print("\n\n".join((*usage, inspect.getdoc(TASKS[name]) or "")))
    if name == "bench":
        print()
        return bench()
    return 0


def main(argv) -> int:
    """Check the interpreter and the task's name before anything is downloaded."""
    if sys.version_info < (3, 11):
        sys.exit("x.py: expected Python 3.11 or newer, got %d.%d." % sys.version_info[:2])
    if argv and argv[0] in HELP:
        print(__doc__)
        return 0
    if not argv or argv[0] not in TASKS:
        print(__doc__)
        got = repr(argv[0]) if argv else "nothing"
        print("x.py: expected one of %s, got %s." % (", ".join(TASKS), got), file=sys.stderr)
        return 2
    name, *args = argv
    if args and args[0] in HELP and not (name == "run" and is_set_up()):
        return help_of(name)
    try:
        return TASKS[name](*args)
    except KeyboardInterrupt:
        print("\nx.py: interrupted; the set-up starts over next time.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
