"""What a spec stands for: data, a model, and who has which examples."""

import json
import runpy
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from overparam._environment import digest
from overparam._errors import UsageError, expect
from overparam._files import expect_readable
from overparam._random_numbers import own_random_numbers
from overparam._types import Loss
from overparam.datasets.dataset import held_out
from overparam.datasets.files import resolve
from overparam.datasets.preparation import prepare
from overparam.federated.experiments.spec_file import Spec, telling_part
from overparam.federated.partitions import (
    dirichlet_partition,
    iid_partition,
    pathological_partition,
)

_LARGEST = 2**28


@dataclass(frozen=True, eq=False)
class Pool:
    """Examples to train on, and those that judge.

    Attributes:
        x: (n, …) of all clients.
        y: (n,) classes, or (n, outputs) numbers.
        test: Examples and targets.
        outputs: Of a model: classes, or columns of the targets.
        names: Of the classes; empty for a regression.
    """

    x: Tensor
    y: Tensor
    test: tuple[Tensor, Tensor]
    outputs: int
    names: tuple[str, ...]

    @property
    def loss(self) -> Loss:
        """Cross-entropy of classes, squared error of numbers."""
        return cross_entropy if self.names else mse_loss

    def with_validation(self, seed: int) -> "Pool":
        """A fifth of the training examples instead of the test examples, which stay unseen."""
        mask = torch.from_numpy(
            held_out(self.y.numpy(), stratified=bool(self.names), seed=seed, where="federate")
        )
        apart = (self.x[mask], self.y[mask])
        return Pool(self.x[~mask], self.y[~mask], apart, self.outputs, self.names)

    def digest(self) -> str:
        """Of all examples."""
        return digest(self.x, self.y, *self.test)


def pool_of(spec: Spec, seed: int, device: str, where: str) -> Pool:
    """The examples of a spec, prepared as everywhere else."""
    with telling_part(where, "data"):
        data = resolve(spec.data, seed=seed, where=f"data = {spec.data!r}")
        ready = prepare(data)
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as problem:
        first = str(problem).strip().splitlines()[0]
        raise UsageError(f"--device must be one that torch has here, not {device!r}: {first}"
                         ) from None  # fmt: skip
    x, y, x_test, y_test = (
        torch.from_numpy(np.ascontiguousarray(part))
        for part in (ready.x_train, ready.y_train, ready.x_test, ready.y_test)
    )
    outputs = len(data.class_names) if data.task == "classification" else y.shape[1]
    return Pool(x, y, (x_test, y_test), outputs, tuple(data.class_names))


def model_of(spec: Spec, pool: Pool, seed: int, where: str) -> nn.Module:
    """Where training starts, the same for all algorithms."""
    with own_random_numbers():
        torch.manual_seed(seed)
        if isinstance(spec.model, str):
            return _from_program(spec.model, pool.x[:2], where)
        return chain(pool.x[0].numel(), spec.model, pool.outputs)


def chain(inputs: int, widths: Sequence[int], outputs: int) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    sizes = [inputs, *widths, outputs]
    layers: list[nn.Module] = [nn.Flatten()]
    for first, second in pairwise(sizes):
        layers += [nn.Linear(first, second), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _from_program(path: str, examples: Tensor, where: str) -> nn.Module:
    """What the function `model` of a program of the user's gives, for two examples."""
    expect_readable(path, f"{where}, model")
    expect(Path(path).suffix == ".py", f"{where}, model", "widths, or a .py file", path)
    try:
        members = runpy.run_path(path)
        function: Any = members.get("model")
        found: Any = function(examples) if callable(function) else None
    except Exception as problem:  # whatever the user's own code raises
        raise UsageError(f"{path}: {type(problem).__name__}: {problem}.") from problem
    expect(callable(function), f"{where}, model", f"a function model(x) in {path}", "none")
    expect(isinstance(found, nn.Module), f"{where}, model",
           f"model(x) of {path} to give a torch module", type(found).__name__,
           error=TypeError)  # fmt: skip
    return found


def parts_of(spec: Spec, pool: Pool, seed: int, where: str) -> list[np.ndarray]:
    """Who has which examples."""
    kind, told = spec.partition["kind"], dict(spec.partition)
    del told["kind"]
    needs = {"dirichlet": "alpha", "pathological": "classes", "own": "file"}.get(kind)
    expect(needs is None or needs in told, where, f"{needs} under [partition]", "none")
    if kind in ("dirichlet", "pathological"):
        expect(pool.names, where, "classes to share out, with this partition",
               "a regression", "kind = \"iid\" or \"own\" takes any targets.")  # fmt: skip
    with telling_part(where, "partition"):
        if kind == "iid":
            return iid_partition(len(pool.x), spec.clients, seed=seed)
        if kind == "dirichlet":
            return dirichlet_partition(pool.y, spec.clients, seed=seed, **told)
        if kind == "pathological":
            return pathological_partition(pool.y, spec.clients, seed=seed, **told)
        return _own(told["file"], spec.clients, where)


def _own(path: Any, clients: int, where: str) -> list[np.ndarray]:
    """Lists of rows from a JSON file."""
    expect(isinstance(path, str), where, "the name of a JSON file for file", path)
    expect_readable(path, where, _LARGEST)
    try:
        lists = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as problem:
        expect(False, where, f"JSON in {path}", f"a file that is not ({problem})")
    good = isinstance(lists, list) and all(isinstance(part, list) for part in lists)
    expect(good, where, f"a list of rows for each client in {path}", "something else")
    expect(len(lists) == clients, where, f"rows for {clients} clients in {path}", len(lists))
    return [np.asarray(part) for part in lists]
