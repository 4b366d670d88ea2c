"""What the system, control groups and limits of the process leave of the machine's memory."""

import sys
from collections.abc import Iterator

# Where Linux says which groups a process is in, and what holds for a group.
_MEMBERSHIP = "/proc/self/cgroup"
_GROUPS = "/sys/fs/cgroup"
# Version 1 says "no limit" by the largest number of whole pages.
_UNLIMITED = 2**62

# By version: the names of limit and use, and the entry of memory.stat that can be given back,
# since it is only the contents of files.
_NAMES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}


def system() -> int | None:
    """Bytes that the operating system reports as available."""
    import psutil

    try:
        return int(psutil.virtual_memory().available)
    except (OSError, RuntimeError, psutil.Error):  # such as a sandbox without /proc
        return None


def control_groups() -> int | None:
    """Bytes that the narrowest control group of the process leaves, if one has a limit.

    Those of a scheduler's job or a container lie within others, each of which counts.
    """
    rooms = (_left(folder, *_NAMES[version]) for version, folder in _folders())
    return min((room for room in rooms if room is not None), default=None)


def process() -> int | None:
    """Bytes that the limits of the process itself leave, if it has any."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    import psutil

    kinds = {"vms": resource.RLIMIT_AS}
    if sys.platform == "linux":
        kinds["data"] = resource.RLIMIT_DATA
    limits = {kind: resource.getrlimit(number)[0] for kind, number in kinds.items()}
    limits = {kind: limit for kind, limit in limits.items() if limit != resource.RLIM_INFINITY}
    if not limits:
        return None
    try:
        used = psutil.Process().memory_info()
    except (OSError, psutil.Error):
        return min(limits.values())
    return max(0, min(limit - getattr(used, kind) for kind, limit in limits.items()))


def _folders() -> Iterator[tuple[int, str]]:
    """Every control group for memory that the process may be in, with its version."""
    for line in _read(_MEMBERSHIP).splitlines():
        _, controllers, path = (line + "::").split(":")[:3]
        if controllers and "memory" not in controllers.split(","):
            continue
        # A container may be told its path on the host, and be shown its own group as the root:
        # then only that is there. ".." is a group outside of what it is shown.
        parts = [part for part in path.split("/") if part not in ("", "..")]
        roots = (f"{_GROUPS}/memory",) if controllers else (_GROUPS, f"{_GROUPS}/unified")
        for root in roots:
            for depth in range(len(parts) + 1):
                yield 1 if controllers else 2, "/".join([root, *parts[:depth]])


def _left(folder: str, limit: str, used: str, given_back: str) -> int | None:
    """What a group leaves; `None` without a limit, or without such a group."""
    most, taken = _read(f"{folder}/{limit}").strip(), ""
    if most.isdigit() and int(most) < _UNLIMITED:
        taken = _read(f"{folder}/{used}").strip()
    if not taken.isdigit():
        return None
    entries = dict(
        line.split() for line in _read(f"{folder}/memory.stat").splitlines() if line.count(" ") == 1
    )
    files = int(entries.get(given_back, 0))
    return max(0, int(most) - max(0, int(taken) - files))


def _read(name: str) -> str:
    """The text of a file, nothing if there is none. `Path` takes ten times as long."""
    try:
        with open(name, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
