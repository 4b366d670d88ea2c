"""Time and memory of a function, in a process of its own; standard library only, for any peer."""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

GIB = 2**30


def peak() -> int:
    """Most bytes that were resident in this process so far.

    On Linux `getrusage` counts what its parent had before it, so that a child of a large process
    would seem to need as much.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def measure(function: Callable[[], object], repeats: int) -> dict[str, float]:
    """Times of a function after one call that is not timed, and what it added to the peak.

    "cpu" is the least time the process spent computing, all threads together: on one thread of
    a machine that others use too it says more than the clock does.
    """
    baseline = peak()
    seconds, computing = [], []
    for _ in range(repeats + 1):
        start, busy = time.perf_counter(), time.process_time()
        function()
        seconds.append(time.perf_counter() - start)
        computing.append(time.process_time() - busy)
    return {
        "minimum": min(seconds[1:] or seconds),
        "median": statistics.median(seconds[1:] or seconds),
        "cpu": min(computing[1:] or computing),
        "peak_bytes": peak() - baseline,
    }


def in_a_new_process(command: Sequence[str | Path], threads: int) -> dict:
    """What a fresh process prints as JSON, on its last line, held to `threads` processors."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    variables = {**os.environ, **dict.fromkeys(names, str(threads))}
    words = [str(word) for word in command]
    done = subprocess.run(
        words, check=False, capture_output=True, text=True, env=variables, timeout=4 * 3600
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def hold(threads: int) -> None:
    """Keep this process to so many processors, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
