"""MaSS beside its peers: time of a step, and best losses over grids of equal size.

    python3 x.py bench optimizers              step time and memory, a ResNet-18's parameters
    python3 x.py bench optimizers grids        five optimizers on digits and Fashion-MNIST

`grids` takes `--seeds N` and `--tasks NAME…`; it runs one cell per core, or with `--cluster
ADDRESS` as many as a cluster has.
"""

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

import joblib
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD, AdamW, Optimizer

from overparam.cluster import on_cluster
from overparam.datasets import load
from overparam.diagnosis import mass_for_model
from overparam.optim import MaSS

PATHS = {"loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}
EPOCHS, BATCH, TRAIN, TEST = 8, 32, 2000, 2000


def resnet18_shapes() -> list[tuple[int, ...]]:
    """Shapes of the 62 parameters of a ResNet-18 for 1000 classes: 11.7 million numbers."""
    shapes: list[tuple[int, ...]] = [(64, 3, 7, 7), (64,), (64,)]
    width = 64
    for outputs in (64, 128, 256, 512):
        for _ in range(2):
            shapes += [(outputs, width, 3, 3), (outputs,), (outputs,)]
            shapes += [(outputs, outputs, 3, 3), (outputs,), (outputs,)]
            if width != outputs:
                shapes += [(outputs, width, 1, 1), (outputs,), (outputs,)]
            width = outputs
    return [*shapes, (1000, 512), (1000,)]


def parameters(shapes: Iterable[tuple[int, ...]], device: str) -> list[nn.Parameter]:
    draw = torch.Generator().manual_seed(0)
    params = [nn.Parameter(torch.randn(s, generator=draw).to(device)) for s in shapes]
    for p in params:
        p.grad = torch.full_like(p, 1e-3)
    return params


def step_times(
    shapes: list[tuple[int, ...]], pairs: int, device: str = "cpu"
) -> dict[str, dict[str, float]]:
    """Time of a MaSS step over that of Nesterov's, both on the same path: medians of pairs."""
    results = {}
    for name, path in PATHS.items():
        options = {**path, "weight_decay": 0.0}
        mass = MaSS(parameters(shapes, device), 1e-4, **options)
        nesterov = SGD(parameters(shapes, device), 1e-4, 0.9, nesterov=True, **options)
        ratios, seconds = [], []
        for i in range(pairs + 3):
            order = [mass, nesterov] if i % 2 else [nesterov, mass]
            times = {type(o): timed(o.step, device) for o in order}
            if i >= 3:  # the first steps pay for buffers and threads
                ratios.append(times[MaSS] / times[SGD])
                seconds.append(times[MaSS])
        held = [
            sum(s["momentum_buffer"].nbytes for s in o.state.values()) for o in (mass, nesterov)
        ]
        results[name] = {
            "ratio": statistics.median(ratios),
            "milliseconds": 1e3 * statistics.median(seconds),
            "memory_ratio": held[0] / held[1],
        }
    return results


def timed(step: Callable[[], Any], device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


class ScheduleFreeSGD(Optimizer):
    """Schedule-free SGD (Defazio and others 2024, arXiv:2405.15682), a peer of this benchmark.

    Parameters hold y = (1−β)z + βx, where gradients are taken; `average` moves them to x.
    """

    def __init__(self, params: Any, lr: float, beta: float) -> None:
        super().__init__(params, {"lr": lr, "beta": beta, "step": 0})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore
        """Move z along the gradient, x to its average, and the parameters between them."""
        for group in self.param_groups:
            group["step"] += 1
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["z"], state["x"] = p.clone(), p.clone()
                state["z"].sub_(p.grad, alpha=group["lr"])
                state["x"].lerp_(state["z"], 1 / group["step"])
                p.copy_(state["z"].lerp(state["x"], group["beta"]))

    @torch.no_grad()
    def average(self) -> None:
        """Put the average into the parameters, for evaluation."""
        for p, state in self.state.items():
            p.copy_(state["x"])


RATES = (0.02, 0.05, 0.1, 0.3)
GRIDS: dict[str, list[dict[str, Any]]] = {
    "SGD": [{"lr": 0.01 * 1.5**i} for i in range(12)],
    "Nesterov": [{"lr": r / 2, "momentum": m} for r in RATES for m in (0.8, 0.9, 0.95)],
    "MaSS": [
        {"lr": r, "alpha": a, "kappa_t": k}
        for r in RATES
        for a, k in ((0.05, 3.0), (0.05, 12.0), (0.01, 12.0))
    ],
    "AdamW": [{"lr": 1e-4 * 2**i, "weight_decay": w} for i in range(6) for w in (0.0, 0.01)],
    "schedule-free SGD": [{"lr": r * 5, "beta": b} for r in RATES for b in (0.8, 0.9, 0.95)],
}


def task_data(name: str, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training and test images with one channel, pixels from 0 to 1."""
    data = load(name)
    scale = 16 if name == "digits" else 255
    parts = []
    for x, y, count in ((data.x_train, data.y_train, TRAIN), (data.x_test, data.y_test, TEST)):
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:count]
        parts += [torch.as_tensor(x)[order].float()[:, None] / scale, torch.as_tensor(y)[order]]
    return tuple(parts)  # pyright: ignore


def task_model(kind: str, size: int, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "MLP":
            layers = [nn.Flatten(), nn.Linear(size * size, 256), nn.ReLU(), nn.Linear(256, 256)]
            return nn.Sequential(*layers, nn.ReLU(), nn.Linear(256, 10))
        side = size // 4
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(32 * side * side, 10),
        )  # fmt: skip


def optimizer_for(name: str, model: nn.Module, x: Tensor, y: Tensor, options: dict) -> Optimizer:
    if name == "mass_for_model":
        batches = list(zip(x.split(BATCH), y.split(BATCH), strict=True))
        return mass_for_model(model, cross_entropy, batches, steps=EPOCHS * len(batches))
    if name == "Nesterov":
        return SGD(model.parameters(), nesterov=True, **options)
    kinds = {"SGD": SGD, "MaSS": MaSS, "AdamW": AdamW, "schedule-free SGD": ScheduleFreeSGD}
    return kinds[name](model.parameters(), **options)


def train(task: str, name: str, options: dict, seed: int) -> dict[str, Any]:
    """Final training loss and test error of one run."""
    torch.set_num_threads(1)
    data, kind = task.split("/")
    x, y, x_test, y_test = task_data(data, seed)
    model = task_model(kind, x.shape[-1], seed)
    optimizer = optimizer_for(name, model, x, y, options)
    draw = torch.Generator().manual_seed(seed)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x), generator=draw).split(BATCH):
            optimizer.zero_grad()
            cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
    if isinstance(optimizer, ScheduleFreeSGD):
        optimizer.average()
    with torch.no_grad():
        loss = float(cross_entropy(model(x), y).nan_to_num(nan=float("inf")))
        error = float((model(x_test).argmax(1) != y_test).double().mean())
    chosen = {k: v for k, v in optimizer.param_groups[0].items() if k in ("lr", "alpha", "kappa_t")}
    return {"task": task, "name": name, "options": options or chosen, "seed": seed,
            "loss": loss, "error": error}  # fmt: skip


def grids(tasks: list[str], seeds: int, optimizers: list[str], cluster: str | None = None) -> None:
    """For each task and optimizer the setting with the smallest mean loss over the seeds."""
    cells = [
        (task, name, options, seed)
        for task in tasks
        for name in optimizers
        for options in GRIDS.get(name, [{}])
        for seed in range(seeds)
    ]
    with on_cluster(cluster):
        runs = joblib.Parallel(n_jobs=-1)(joblib.delayed(train)(*cell) for cell in cells)
    losses = {}
    print(f"{'task':20} {'optimizer':18} {'loss':>9} {'error':>7}  best of its grid")
    for task, name in itertools.product(tasks, optimizers):
        settings: dict[str, list[dict]] = {}
        for run in runs:
            if (run["task"], run["name"]) == (task, name):
                # Without a grid there is one setting, which may differ from seed to seed.
                key = json.dumps(run["options"]) if name in GRIDS else ""
                settings.setdefault(key, []).append(run)
        best = min(settings.values(), key=lambda rs: mean_of(rs, "loss"))
        losses[task, name] = mean_of(best, "loss")
        error = 100 * mean_of(best, "error")
        print(f"{task:20} {name:18} {losses[task, name]:9.2g} {error:6.2f}%  {best[0]['options']}")
    for task in tasks if {"MaSS", "mass_for_model"} <= set(optimizers) else ():
        ratio = losses[task, "mass_for_model"] / losses[task, "MaSS"]
        print(f"{task}: loss of mass_for_model over the best MaSS of the grid {ratio:.2f}")


def mean_of(runs: list[dict[str, Any]], key: str) -> float:
    return statistics.fmean(run[key] for run in runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", nargs="?", choices=("steps", "grids"), default="steps")
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    everything = [f"{d}/{m}" for d in ("digits", "fashion_mnist") for m in ("MLP", "CNN")]
    parser.add_argument("--tasks", nargs="+", default=everything, choices=everything)
    names = [*GRIDS, "mass_for_model"]
    parser.add_argument("--optimizers", nargs="+", default=names, choices=names)
    parser.add_argument("--cluster", help="as of `overparam study run`")
    arguments = parser.parse_args()
    if arguments.mode == "grids":
        grids(arguments.tasks, arguments.seeds, arguments.optimizers, arguments.cluster)
        return
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"one MaSS step over one of SGD(nesterov=True), {device}, medians of pairs")
    for name, result in step_times(resnet18_shapes(), arguments.pairs, device).items():
        print(
            f"{name:8} {result['ratio']:.3f}  ({result['milliseconds']:.1f} ms), "
            f"state {result['memory_ratio']:.2f}"
        )


if __name__ == "__main__":
    main()
