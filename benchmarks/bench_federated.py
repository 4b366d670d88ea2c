"""A round of many clients in one process: stacked, by vmap, and in a loop.

    python3 x.py bench federated [--json FILE] [--threads N] [--python FILE]

Time of one warm round of FedAvg, ten local steps on batches of 20: with 100 clients and a network
of 32-32-10, with 20 clients and a small convolutional network, and what `engine="auto"` takes
there. The plain loop is how one writes it without the library: a module and an optimizer of torch
for each client in turn, on the same batches. All run in one process, one after another, several
times; printed is the least of the processor's time and of the clock's. Results are compared before
they are timed: they agree up to rounding. The 100 clients also go through Flower's simulation and
its own FedAvg, where its environment is (`python3 x.py flower`), or is named by --python; both are
warm there, in one process, and end with the same weights. Last, the memory of a round of FAdamGC
with 1000 clients of 100 000 parameters, all of which keep their state, in a process of its own.
"""

import argparse
import copy
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from flower_environment import QUIET
from measuring import GIB, hold, in_a_new_process, measure, peak
from peer_environment import ROOT

STEPS, BATCH, RATE, ROUNDS = 10, 20, 0.1, 3
FLOWER = ROOT / ".peers" / "flower" / "bin" / "python"


def problems() -> dict:
    """Name, number of clients, model, and the shape of an example."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    chain = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))
    convolutional = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    return {
        "100 clients, 32-32-10": (100, chain, (32,), ("plain loop", "loop", "vmap", "stacked")),
        "20 clients, LeNet": (
            20,
            convolutional,
            (1, 28, 28),
            ("plain loop", "loop", "vmap", "auto"),
        ),
    }


def rounds_of(clients: int, model, shape: tuple[int, ...]) -> Callable[[str], Callable[[], object]]:
    """For the name of a way, a function that runs one round of it and returns the new model."""
    import numpy as np
    import torch
    from torch.nn.functional import cross_entropy

    from overparam.federated import ClientData, iid_partition
    from overparam.federated.algorithms import FedAvg, run_round
    from overparam.federated.local_training import LocalTraining

    draw = torch.Generator().manual_seed(0)
    n = 100 * clients
    x = torch.randn(n, *shape, generator=draw)
    data = ClientData(x, torch.randint(10, (n,), generator=draw), iid_partition(n, clients))
    ids, steps = np.arange(clients), torch.full((clients,), STEPS)
    start = torch.cat([p.detach().flatten() for p in model.parameters()])

    def plain() -> torch.Tensor:
        moved = torch.zeros_like(start)
        for client in range(clients):
            own = copy.deepcopy(model)
            optimizer = torch.optim.SGD(own.parameters(), RATE)
            for step in range(STEPS):
                rows = data.batch_rows(0, 0, ids[client : client + 1], step, BATCH)[0]
                optimizer.zero_grad()
                cross_entropy(own(data.x[rows]), data.y[rows]).backward()
                optimizer.step()
            moved += torch.cat([p.detach().flatten() for p in own.parameters()])
        return moved / clients

    def way(name: str) -> Callable[[], torch.Tensor]:
        if name == "plain loop":
            return plain
        algorithm = FedAvg(lr=RATE)
        training = LocalTraining(model, data, cross_entropy, BATCH, 0, name, "bench")  # type: ignore[arg-type]

        def library() -> torch.Tensor:
            gradient = training.gradient(0, ids, [])
            done = run_round(algorithm, {"x": start}, {}, gradient, steps, clients)
            return done.server["x"]

        return library

    return way


def timed() -> list[dict]:
    """A row for each way of each problem."""
    rows = []
    for problem, (clients, model, shape, names) in problems().items():
        way = rounds_of(clients, model, shape)
        ways = {name: way(name) for name in names}
        right = ways["plain loop"]()
        for name, function in ways.items():
            found = measure(function, ROUNDS)
            difference = float((function() - right).abs().max())  # type: ignore[operator]
            rows.append({"problem": problem, "way": name, "difference": difference, **found})
    return rows


def large() -> dict[str, float]:
    """Bytes that a process takes for 1000 clients of 100 000 parameters, and its parts."""
    import torch
    from torch import nn

    from overparam.federated import ClientData, iid_partition, simulate
    from overparam.federated.algorithms import FAdamGC

    model = nn.Sequential(nn.Linear(290, 300), nn.ReLU(), nn.Linear(300, 42))
    before = peak()
    x, y = torch.randn(5000, 290), torch.randint(42, (5000,))
    data = ClientData(x, y, iid_partition(5000, 1000))
    simulate(model, data, FAdamGC(), rounds=1, local_steps=2, batch_size=5, progress=False)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "peak": peak(),
        "added": peak() - before,
    }


def flower(python: Path, threads: int) -> dict:
    """Rounds of Flower's simulation and of ours in one process, or why there are none."""
    if not python.exists():
        return {"skipped": f"no {python}; python3 x.py flower makes it"}
    with tempfile.TemporaryDirectory() as home:
        os.environ |= QUIET | {"FLWR_HOME": home}
        script = Path(__file__).with_name("peer_flower_rounds.py")
        return in_a_new_process([python, script], threads)


def told(found: dict) -> str:
    """What is said of Flower's simulation."""
    if "skipped" in found:
        return f"Flower's simulation is not compared: {found['skipped']}"
    theirs, ours = found["flower"], found["stacked"]
    ratios = [theirs[key] / ours[key] for key in ("cpu", "minimum")]
    return (
        f"Flower's simulation of 100 clients, warm: {1e3 * theirs['cpu']:.0f} ms of processor and "
        f"{1e3 * theirs['minimum']:.0f} ms of the clock a round, {theirs['processes']} processes, "
        f"the first round {theirs['first']:.0f} s; stacked in the same process "
        f"{1e3 * ours['cpu']:.1f} and {1e3 * ours['minimum']:.1f} ms: {ratios[0]:.0f} and "
        f"{ratios[1]:.0f} times as fast, weights {found['difference']:.0e} apart"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--python", type=Path, default=FLOWER, help="one that has Flower")
    parser.add_argument("--part", choices=("timed", "large"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        hold(int(os.environ["OMP_NUM_THREADS"]))
        print(json.dumps(timed() if options.part == "timed" else large()))
        return
    from rich.console import Console
    from rich.table import Table

    parts = {
        part: in_a_new_process([sys.executable, __file__, "--part", part], options.threads)
        for part in ("timed", "large")
    }
    parts["flower"] = flower(options.python, options.threads)
    table = Table(title="one round, in milliseconds")
    for column in ("problem", "way", "processor", "clock", "times the loop", "difference"):
        table.add_column(column, justify="left" if column in ("problem", "way") else "right")
    plain = {r["problem"]: r["cpu"] for r in parts["timed"] if r["way"] == "plain loop"}
    for row in parts["timed"]:
        table.add_row(
            row["problem"], row["way"], f"{1e3 * row['cpu']:.1f}", f"{1e3 * row['minimum']:.1f}",
            f"{plain[row['problem']] / row['cpu']:.1f}", f"{row['difference']:.0e}",
        )  # fmt: skip
    console = Console()
    console.print(table)
    found = parts["large"]
    console.print(
        f"1000 clients of {found['parameters']:.0f} parameters that keep their moments: "
        f"{found['peak'] / GIB:.2f} GiB"
    )
    console.print(told(parts["flower"]))
    if options.json:
        options.json.write_text(json.dumps(parts, indent=2))


if __name__ == "__main__":
    main()
