"""A federated run: its rounds, and where it stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from overparam._errors import expect
from overparam._files import Name
from overparam._memory import expect_room
from overparam._numbers import is_integer
from overparam._progress import Progress, counted, expect_progress
from overparam._types import Loss, Params
from overparam.federated.algorithms.algorithm import Algorithm, State
from overparam.federated.algorithms.round import Report, concluded, report
from overparam.federated.clients import ClientData
from overparam.federated.engine.choice import Engine
from overparam.federated.kept_run import KeptRun
from overparam.federated.local_training import LocalTraining, digest_of, expect_test, name_of
from overparam.federated.participation import Participation

if TYPE_CHECKING:
    import pandas as pd

_COUNTS = (
    "asked", "reported", "not_finite", "loss", "drift", "floats_down", "floats_up", "gradients",
    "flops",
)  # fmt: skip


@dataclass(frozen=True)
class FederatedRun:
    """What a simulation ends with.

    Attributes:
        parameters: The global model's parameters by name:
            ``model.load_state_dict(run.parameters, strict=False)``.
        history: A row for each round, from 0, the start: `reported` clients of those `asked`
            whose numbers are in the sums; `not_finite`, those that answered with others; `loss`,
            the mean over their batches while they trained; `drift`, the root mean square
            distance of their models from the mean of these at the end of the round; `floats_down`
            and `floats_up`, numbers received and sent by all clients since the start; `gradients`,
            of examples, since the start; `flops`, those of their products; and where it was asked
            for `test_loss` and `test_accuracy`.
        server: What the server has; "x" is the model as one vector.
        clients: What the clients keep, a row for each.
        engine: What computed gradients: "stacked", "vmap" or "loop".
    """

    parameters: Params
    history: "pd.DataFrame"
    server: State
    clients: State
    engine: str


class Simulation:
    """A run and where it stands."""

    def __init__(
        self, model: nn.Module, clients: ClientData, algorithm: Algorithm, loss: Loss,
        local_steps: int | Sequence[int], batch_size: int, participation: Participation | None,
        weighting: str, test: tuple[Tensor, Tensor] | None, test_every: int, engine: Engine,
        chunk_size: int | None, seed: int,
    ) -> None:  # fmt: skip
        expect_test(test, clients, "simulate(test=...)")
        self._steps = steps_of(local_steps, len(clients), "simulate(local_steps=...)")
        self._algorithm, self._data, self._seed = algorithm, clients, seed
        self._participation = participation or Participation()
        self._test, self._test_every, self._batch_size = test, test_every, batch_size
        self._training = LocalTraining(model, clients, loss, batch_size, seed, engine, "simulate")
        self._stack = self._training.stack(chunk_size)
        x = self._training.flat.start()
        self._expect_room(x)
        self.server, self.clients = (
            algorithm.server_state(x),
            algorithm.client_state(len(clients), x),
        )
        weights = clients.sizes / clients.sizes.mean() if weighting == "examples" else None
        self._weights = torch.as_tensor(
            np.ones(len(clients)) if weights is None else weights, dtype=x.dtype, device=x.device
        )
        self.rows: list[dict[str, Any]] = []
        self._key = digest_of(
            algorithm, self._participation, weighting, seed, batch_size, self._training.engine.name,
            self._stack, test_every, name_of(loss), torch.__version__, repr(model), self._steps,
            *model.state_dict().values(), clients.x, clients.y, *clients.parts(), *(test or ()),
        )  # fmt: skip

    def run(
        self, rounds: int, checkpoint: Name | None, every: int, progress: Progress
    ) -> FederatedRun:
        """Go on until so many rounds are done."""
        import pandas as pd

        expect_progress(progress, "simulate(progress=...)")
        kept = KeptRun(checkpoint, self._key, "simulate(checkpoint=...)")
        found = kept.load(self._training.flat.device)
        if found is None:
            self._begin()
        else:
            self.server, self.clients, self.rows = (
                found["server"], found["clients"], found["rows"]
            )  # fmt: skip
        done = len(self.rows) - 1
        expect(
            done <= rounds, "simulate(rounds=...)",
            f"{done} or more, which the checkpoint has done", rounds,
        )  # fmt: skip
        with counted(progress, "rounds", rounds, done=done, unit="round") as advance:
            for number in range(done, rounds):
                last = number + 1 == rounds
                self.rows.append(self._round(number, last))
                if last or (number + 1) % every == 0:
                    kept.save({"server": self.server, "clients": self.clients, "rows": self.rows})
                advance()
        flat, table = self._training.flat, pd.DataFrame(self.rows)
        return FederatedRun(
            flat.as_state(self.server["x"]), table.set_index("round"), self.server, self.clients,
            self._training.engine.name,
        )  # fmt: skip

    def _begin(self) -> None:
        """The row of round 0, after a warm-up if the algorithm wants one."""
        row = dict.fromkeys(_COUNTS, 0) | {"loss": float("nan"), "drift": 0.0}
        if getattr(self._algorithm, "warmup", False):
            row |= self._warm_up()
        self.rows.append(self._with_test(row, test=True))

    def _warm_up(self) -> dict[str, float]:
        """One gradient of every client at the start: c_i, and c as their mean."""
        n, x = len(self._data), self.server["x"]
        total = torch.zeros_like(x)
        for ids in np.split(np.arange(n), range(self._stack, n, self._stack)):
            gradient = self._training.gradient(2**32, ids, [])  # a round of its own
            rows = gradient(x.expand(len(ids), -1), 0)
            rows = torch.where(torch.isfinite(rows).all(1, keepdim=True), rows, 0)
            self.clients["c"][torch.from_numpy(ids).to(x.device)] = rows
            total += rows.sum(0)
        self.server["c"] = total / n
        gradients = n * self._batch_size
        return {
            "floats_down": n * len(x), "floats_up": n * len(x), "gradients": gradients,
            "flops": gradients * self._training.flops,
        }  # fmt: skip

    def _round(self, number: int, last: bool) -> dict[str, Any]:
        ids, steps, answers = self._participation.drawn(self._seed, number, self._steps)
        reports, losses, squares = [], [], 0.0
        moved = torch.zeros_like(self.server["x"])
        for part in np.split(np.arange(len(ids)), range(self._stack, len(ids), self._stack)):
            found, loss = self._local(number, ids[part], steps[part], answers[part])
            losses.append(loss[found.kept])
            delta = found.delta[found.kept]
            squares += float(delta.square().sum())
            moved += delta.sum(0)
            # Only sums are kept: the rows of all clients would be there twice.
            reports.append(replace(found, clients={}, delta=delta.new_empty(0)))
        before = self.rows[-1]
        self.server = concluded(self._algorithm, self.server, reports, len(self._data))
        kept = int(sum(int(part.kept.sum()) for part in reports))
        down, up = self._algorithm.traffic
        size, gradients = self._training.flat.size, int(steps.sum()) * self._batch_size
        spread = squares / kept - float((moved / kept).square().sum()) if kept else float("nan")
        return self._with_test(
            {
                "asked": len(ids),
                "reported": kept,
                "not_finite": int(answers.sum()) - kept,
                "loss": float(torch.cat(losses).mean()) if kept else float("nan"),
                "drift": float(np.sqrt(max(spread, 0.0))) if kept else float("nan"),
                "floats_down": before["floats_down"] + len(ids) * down * size,
                "floats_up": before["floats_up"] + int(answers.sum()) * up * size,
                "gradients": before["gradients"] + gradients,
                "flops": before["flops"] + gradients * self._training.flops,
            },
            test=last or (number + 1) % self._test_every == 0,
        )

    def _local(
        self, number: int, ids: np.ndarray, steps: np.ndarray, answers: np.ndarray
    ) -> tuple[Report, Tensor]:
        """The round of some clients; their rows are written back. Also their mean losses."""
        device = self._training.flat.device
        rows, counts = torch.from_numpy(ids).to(device), torch.from_numpy(steps).to(device)
        losses: list[Tensor] = []
        gradient = self._training.gradient(number, ids, losses)
        everyone = len(ids) == len(self._data)
        before = {
            name: rows_of if everyone else rows_of.index_select(0, rows)
            for name, rows_of in self.clients.items()
        }
        found = report(
            self._algorithm, self.server, before, gradient, counts, self._weights[rows],
            torch.from_numpy(answers).to(device),
        )  # fmt: skip
        if everyone:
            self.clients = found.clients
        else:
            for name, after in found.clients.items():
                self.clients[name].index_copy_(0, rows, after)
        seen = torch.stack(losses)
        active = torch.arange(len(seen), device=device)[:, None] < counts
        return found, torch.where(active, seen, 0).sum(0) / counts

    def _with_test(self, row: dict[str, Any], *, test: bool) -> dict[str, Any]:
        if self._test is not None:
            names = {"test_loss": float("nan")}
            found = self._training.tested(self.server["x"], self._test) if test else names
            row = {**row, **found}
        return {"round": len(self.rows), **row}

    def _expect_room(self, x: Tensor) -> None:
        """What the clients keep must fit."""
        one = self._algorithm.client_state(1, x)
        kept = sum(rows.numel() * rows.element_size() for rows in one.values())
        stack = 8 * min(self._stack, len(self._data)) * x.numel() * x.element_size()
        expect_room(
            len(self._data) * kept + stack, x.device, "simulate(clients=...)",
            "take moments='reset', with which a client keeps the least, fewer clients, or a "
            "smaller chunk_size.", what="what the clients keep",
        )  # fmt: skip


def steps_of(local_steps: int | Sequence[int], n_clients: int, where: str) -> np.ndarray:
    """The local steps of each client."""
    each = [local_steps] * n_clients if is_integer(local_steps) else local_steps
    good = not isinstance(each, (str, Mapping)) and all(is_integer(k) and k >= 1 for k in each)  # type: ignore[operator, union-attr]
    expect(good, where, "an integer ≥ 1, or one for each client", repr(local_steps)[:60])
    expect(len(each) == n_clients, where, f"steps for {n_clients} clients", len(each))  # type: ignore[arg-type]
    return np.array([int(k) for k in each])  # type: ignore[union-attr]
