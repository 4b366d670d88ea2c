"""Random SIGKILLs while files are written: what was finished is kept, nothing half is read.

A process that has imported everything forks a child for each kill, so that the moment falls into
the work and not into imports; a few are command lines of their own, imports and worker processes
included. Every writer goes on where the one before was killed, until it ends; then its result is
compared, bit for bit, with that of a writer left alone. A kill leaves no process behind and
nothing in shared memory.

Printed are, for each kind of work as soon as it is through, its kills: during the work, and
before it began, which is before it touched its folder; further, how many runs ended before their
kill came, the parts that were reported as finished, and the losses: whatever went wrong, in words
below. Ctrl+C and SIGTERM print what there is until then. The exit status is 1 after a loss, 130
after an interruption.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))

import torch
from killed_children import child
from killed_works import WORKS, Resumed, Work


def kill(make: Callable[[], Work], number: int, draw: random.Random, row: dict) -> None:
    """Kill a work so many times, counting in `row`; then, if it can end, let it."""
    work = None
    with noted(row):
        work = make()
    while work and row["killed"] < number and len(row["problems"]) < 5:
        with noted(row):
            untouched = work.touched()
            start, whole = time.monotonic(), work.is_whole_run()
            lines, done = child(work.work, draw.uniform(0, work.window))
            if done and whole:  # machines are faster at one time than at another
                work.window = 1.1 * (time.monotonic() - start)
            row["killed"] += not done
            row["ended"] += done
            row["before"] += not done and work.touched() == untouched
            work.check(lines, done)
            row["reported"] += len(lines)
    if isinstance(work, Resumed) and not row["problems"]:
        with noted(row):
            lines, done = child(work.work, None)
            row["ended"] += done
            work.check(lines, done)
            row["reported"] += len(lines)


@contextmanager
def noted(row: dict) -> Iterator[None]:
    """Count what goes wrong: a file that is half makes its reader raise whatever it likes."""
    try:
        yield
    except Exception as error:
        row["problems"].append(f"{type(error).__name__}: {error}")


COUNTS = ("kills", "during", "before", "ended first", "finished parts", "losses", "seconds")


def line(name: str, row: dict) -> str:
    """A work's counts."""
    killed, before = row["killed"], row["before"]
    ended, reported, losses = row["ended"], row["reported"], len(row["problems"])
    counts = (killed, killed - before, before, ended, reported, losses, round(row["seconds"]))
    columns = (f"{n:>{len(title)}}" for n, title in zip(counts, COUNTS, strict=True))
    return "  ".join([f"{name:16}", *columns, *(f"\n  {text}" for text in row["problems"])])


def measure(kills: int, names: list[str], seed: int, folder: Path, found: dict) -> None:
    """Kill the works named, together about so many times, each by its share."""
    draw = random.Random(seed)
    shares = sum(WORKS[name].share for name in names)
    print("  ".join([f"{'work':16}", *COUNTS]), flush=True)
    for name in names:
        start = time.perf_counter()
        number = max(1, round(kills * WORKS[name].share / shares))
        counts = ("killed", "before", "ended", "reported", "seconds")
        row = found[name] = dict.fromkeys(counts, 0) | {"problems": []}
        try:
            kill(partial(WORKS[name], folder / name), number, draw, row)
        finally:
            row["seconds"] = time.perf_counter() - start
            print(line(name, row), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=240, help="of all works together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--works", nargs="+", choices=list(WORKS), default=list(WORKS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    # A shell that starts this in the background lets it ignore Ctrl+C.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    # A kill does not ask how soon the disk has what it was given: memory is quicker.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    found: dict[str, dict] = {}
    interrupted = False
    try:
        with tempfile.TemporaryDirectory(dir=memory) as folder:
            measure(options.kills, options.works, options.seed, Path(folder), found)
    except KeyboardInterrupt:
        interrupted = True
    losses = sum(len(row["problems"]) for row in found.values())
    how = "interrupted after " if interrupted else ""
    print(f"{how}{sum(row['killed'] for row in found.values())} kills, {losses} losses")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))
    return 130 if interrupted else int(losses > 0)


if __name__ == "__main__":
    sys.exit(main())
