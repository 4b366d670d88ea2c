"""The Flower adapter, in an environment of Flower's own: `python3 x.py bench flower`.

1. The apps without a network, every algorithm, against the stacked engine: at most 1e-5 apart.
2. A SuperLink and two SuperNodes on loopback with TLS and certificates of the run's own: three
   rounds of hub/flower, at most 1e-5 from the stacked engine.
3. A node that does not know the authority is not let in.

Whatever was started is ended with its process group, and that nothing of it is left is checked.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flower_environment import flower, switches

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent / "hub" / "flower"
MOST = 1e-5


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, on loopback."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@contextmanager
def running(folder: Path, told: dict[str, str]) -> Iterator:
    """A function that starts a program in a session of its own; all of them end here."""
    started: list[subprocess.Popen] = []

    def start(name: str, *words: str) -> subprocess.Popen:
        with open(folder / f"{name}.log", "w") as log:
            started.append(
                subprocess.Popen(
                    list(words), env=told, stdout=log, stderr=subprocess.STDOUT, cwd=folder,
                    start_new_session=True,
                )
            )  # fmt: skip
        return started[-1]

    try:
        yield start
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in started:
                # A leader that is not waited for yet keeps its number from being anyone else's.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline and any(left(p.pid) for p in started):
                time.sleep(0.2)
        for process in started:
            process.wait(timeout=30)


def left(group: int) -> list[int]:
    """Processes of a group that are no zombies."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, of = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            except (OSError, ValueError):
                continue
            if int(of) == group and state != "Z":
                found.append(int(entry.name))
    return found


def deployed(python: Path, folder: Path, patience: float) -> dict:
    """Three rounds between processes, and what came of them."""
    subprocess.run([str(python), str(HERE / "flower_certificates.py"), str(folder)], check=True,
                   timeout=300)  # fmt: skip
    port, *others = free_ports(4)
    home, result = folder / "home", folder / "result.json"
    told = switches(home) | {
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    (home / "config.toml").write_text(
        '[superlink]\ndefault = "bench"\n[superlink.bench]\n'
        f'address = "127.0.0.1:{port}"\nroot-certificates = "{folder / "ca.pem"}"\n'
    )
    tls = ["--ssl-ca-certfile", "ca.pem", "--ssl-certfile", "server.pem", "--ssl-keyfile",
           "server.key"]  # fmt: skip
    with running(folder, told) as start:
        link = start("superlink", str(python.with_name("flower-superlink")), "--host", "127.0.0.1",
              "--port", str(port), "--disable-runtime-dependency-installation",
                     *tls)  # fmt: skip
        _listening(port, patience)

        def node(name: str, place: int, *words: str) -> subprocess.Popen:
            return start(
                name, str(python.with_name("flower-supernode")), "--superlink",
                f"127.0.0.1:{port}", "--host", "127.0.0.1", "--port", str(others[place]),
                "--node-config", f"partition-id={place} num-partitions=2", *words,
            )  # fmt: skip

        groups = [link.pid, node("stranger", 2, "--max-retries", "1").pid]
        for place in range(2):
            groups.append(node(f"node {place}", place, "--root-certificates", "ca.pem").pid)
        began = time.monotonic()
        subprocess.run(
            [str(python.with_name("flwr")), "run", str(PROJECT), "bench", "--run-config",
             f'result="{result}"'],
            env=told, check=True, timeout=patience, cwd=folder,
        )  # fmt: skip
        while not result.exists() or not result.read_text().endswith("}"):
            if time.monotonic() - began > patience:
                sys.exit(f"bench flower: no result after {patience:g} s; see {folder}/*.log")
            time.sleep(0.5)
        seconds = time.monotonic() - began
        refused = "CERTIFICATE_VERIFY_FAILED" in (folder / "stranger.log").read_text()
    found = json.loads(result.read_text())
    remaining = [pid for group in groups for pid in left(group)]
    return {**found, "seconds": seconds, "refused": refused, "left": remaining}


def _listening(port: int, patience: float) -> None:
    began = time.monotonic()
    while time.monotonic() - began < patience:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    sys.exit(f"bench flower: nobody listens on port {port} after {patience:g} s.")


def expected() -> dict[str, list]:
    """What the stacked engine makes of the project's problem."""
    sys.path.insert(0, str(PROJECT))
    from digits_flower import task

    from overparam.federated import simulate

    run = simulate(
        task.model(), task.everything(), task.ALGORITHM, rounds=task.ROUNDS,
        local_steps=task.STEPS, batch_size=task.BATCH, progress=False,
    )  # fmt: skip
    return {name: part.double().flatten().tolist() for name, part in run.parameters.items()}


def _flat(value) -> list[float]:
    return [v for part in value for v in _flat(part)] if isinstance(value, list) else [value]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", type=Path, help="an environment that has Flower already")
    parser.add_argument("--patience", type=float, default=900.0, help="seconds for a deployment")
    parser.add_argument("--keep", type=Path, help="a folder for what is logged")
    options = parser.parse_args()
    python = options.python or flower()
    apart = subprocess.run(
        [str(python), str(HERE / "peer_flower.py")], capture_output=True, text=True, timeout=1800,
        env=switches(Path(tempfile.mkdtemp())) | {"OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    if apart.returncode:
        sys.exit(apart.stderr)
    rows = json.loads(str(apart.stdout).splitlines()[-1])
    good = True
    for name, row in rows["algorithms"].items():
        good &= row["difference"] <= MOST
        print(f"{name:18} {row['difference']:.1e} apart, moved {row['moved']:.2g}, "
              f"{1e3 * row['seconds']:.0f} ms a round")  # fmt: skip
    print(f"c off the mean of c_i when answers are lost: {rows['invariant']:.1e}")
    good &= rows["invariant"] <= MOST
    with tempfile.TemporaryDirectory() as name:
        folder = options.keep or Path(name)
        found = deployed(python, folder, options.patience)
    right = expected()
    off = max(
        abs(a - b)
        for key, part in right.items()
        for a, b in zip(part, _flat(found["parameters"][key]), strict=True)
    )
    reported = [row["reported"] for row in found["history"]]
    print(f"SuperLink and 2 SuperNodes with TLS: {off:.1e} apart after {len(reported)} rounds, "
          f"answers {reported}, {found['seconds'] / len(reported):.1f} s a round; a node without "
          f"the authority: {'refused' if found['refused'] else 'NOT REFUSED'}; processes left: "
          f"{found['left']}")  # fmt: skip
    good &= off <= MOST and found["refused"] and not found["left"] and reported == [2, 2, 2]
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
