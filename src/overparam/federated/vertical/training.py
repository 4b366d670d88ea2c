"""Training a vertical split whose parties run in one process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from overparam._checked import checked
from overparam._errors import expect
from overparam._model import expect_own_outputs
from overparam._numbers import n_bad
from overparam._progress import Progress, counted, expect_progress
from overparam._types import Count, Natural, Params
from overparam.federated.engine.choice import expect_no_batch_norm
from overparam.federated.streams import generator_seed, uniform
from overparam.federated.vertical.accountant import NoisePlan, PrivacySpec, plan_noise
from overparam.federated.vertical.channel import Channel
from overparam.federated.vertical.dpzv import DPZV
from overparam.federated.vertical.parties import Party, Server

if TYPE_CHECKING:
    import pandas as pd

each_cross_entropy = partial(cross_entropy, reduction="none")


class VerticalData:
    """The same examples' columns at several parties, and their targets at the server.

    Args:
        parts: (n, …) of each party, rows in one order.
        y: (n, …) targets.

    Raises:
        ValueError: If lengths differ or a number is not finite.

    Example:
        >>> data = VerticalData([torch.ones(5, 2), torch.ones(5, 3)], torch.zeros(5).long())
        >>> len(data), data.n_parties
        (5, 2)
    """

    @checked
    def __init__(self, parts: Sequence[Tensor], y: Tensor) -> None:
        expect(len(parts) > 0, "VerticalData(parts=...)", "the columns of a party at least", "none")
        expect(y.ndim >= 1 and len(y) > 0, "VerticalData(y=...)", "targets of the examples",
               f"the shape {tuple(y.shape)}")  # fmt: skip
        for i, part in enumerate(parts):
            expect(part.ndim >= 2 and len(part) == len(y), "VerticalData(parts=...)",
                   f"{len(y)} rows of columns for each party, one for each target",
                   f"the shape {tuple(part.shape)} of party {i}")  # fmt: skip
            bad = n_bad(part)
            expect(not bad, "VerticalData(parts=...)", "finite numbers", f"{bad} that are not")
        self.parts, self.y = list(parts), y
        self.n_parties = len(self.parts)

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class VerticalRun:
    """What the training of a vertical split ends with.

    Attributes:
        parties: Each party's parameters by name, for `load_state_dict(…, strict=False)`.
        head: The head's.
        history: A row for each epoch, from 0, the start: `epsilon` spent so far (infinite without
            noise), `releases` so far, `floats_up` to the server and `floats_down` from it, and
            with a test set `test_loss` and `test_accuracy`.
        plan: The noise; `None` without.
        channel: What crossed the boundary.
    """

    parties: list[Params]
    head: Params
    history: "pd.DataFrame"
    plan: NoisePlan | None
    channel: Channel


@checked(result="not NaN")
def train_vertical(
    parties: Sequence[nn.Module],
    head: nn.Module,
    data: VerticalData,
    method: DPZV,
    *,
    epochs: Count,
    batch_size: Count,
    loss: Callable[[Tensor, Tensor], Tensor] = each_cross_entropy,
    test: VerticalData | None = None,
    channel: Channel | None = None,
    secure_noise: bool = False,
    progress: Progress = True,
    seed: Natural = 0,
) -> VerticalRun:
    """Train embeddings at parties and a head at a server by zeroth-order steps.

    For every batch each party in turn sends two embeddings for each direction and gets one noised
    number for each; then the head moves by numbers of its own. The embeddings of the others are
    the latest that the server has, which begins with those of all examples. Batches are cut from
    a new order in every epoch, or drawn by coin where the promise counts on that.

    Against: parties who are honest and curious learn from the numbers that they get no more than
    the promise allows, all parties' and the head's counted together. Not against: the server, who
    sees embeddings; who chooses settings by looking at results on these data.

    Args:
        parties: A module for each, its columns in and (B, e) embeddings out; left as they were.
        head: From the embeddings beside each other, (B, Σe), to what the loss takes.
        data: Columns and targets.
        method: Settings, noise among them.
        epochs: Times that each example is seen.
        batch_size: B.
        loss: `loss(outputs, targets)` with a number for each example, of that example alone.
        test: Columns and targets to test on after every epoch, in the open: what it finds is not
            noised and is nobody's to publish.
        channel: Counts what crosses; `Channel(keep=True)` keeps every message.
        secure_noise: Whether noise comes from the system's entropy and no seed repeats it, as a
            real deployment needs; by default a run can be repeated.
        progress: Whether to show how far it is.
        seed: Of batches, directions and, unless `secure_noise`, noise.

    Raises:
        ValueError: For modules with batch norm or random layers, numbers of modules and columns
            that differ, a loss that is none of each example.
        ImportError: Where the promise needs dp-accounting and it is not there.

    Cost: for each batch and party 2R passes forward of its module and of the head, and memory of
    2R copies of its parameters: no pass back.

    Example:
        >>> import torch
        >>> from overparam.federated.vertical import DPZV, VerticalData, train_vertical
        >>> x = torch.randn(600, 4, generator=torch.Generator().manual_seed(0))
        >>> data = VerticalData([x[:, :2], x[:, 2:]], (x.sum(1) > 0).long())
        >>> parties = [nn.Linear(2, 2), nn.Linear(2, 2)]
        >>> run = train_vertical(
        ...     parties, nn.Linear(4, 2), data, DPZV(lr=0.1), epochs=20, batch_size=50, test=data,
        ...     progress=False,
        ... )
        >>> bool(run.history["test_accuracy"].iloc[-1] > 0.85)
        True
    """
    _expect_parts(parties, data, test, batch_size)
    expect_progress(progress, "train_vertical(progress=...)")
    for i, module in enumerate((*parties, head)):
        where = f"train_vertical(parties[{i}])" if i < len(parties) else "train_vertical(head=...)"
        expect_no_batch_norm(module, where)
        if i < len(parties):
            expect_own_outputs(module, data.parts[i][:2], where)
    plan = None
    if method.privacy is not None:
        plan = plan_noise(
            method.privacy, clip=method.clip, batch_size=batch_size, n_examples=len(data),
            epochs=epochs, releases_per_step=(len(parties) + 1) * method.directions,
        )  # fmt: skip
    own = Channel() if channel is None else channel
    run = _Run(parties, head, data, method, batch_size, loss, plan, own, seed, secure=secure_noise)
    return run.through(epochs, test, progress)


class _Run:
    """Parties and server, and the epochs."""

    def __init__(
        self, modules: Sequence[nn.Module], head: nn.Module, data: VerticalData, method: DPZV,
        batch_size: int, loss: Any, plan: NoisePlan | None, channel: Channel, seed: int, *,
        secure: bool,
    ) -> None:  # fmt: skip
        self._n, self._size, self._seed = len(data), batch_size, seed
        self._plan, self._channel, self._method = plan, channel, method
        self._parties = [
            Party(i, module, x, method, seed)
            for i, (module, x) in enumerate(zip(modules, data.parts, strict=True))
        ]
        sigma = 0.0 if plan is None else plan.sigma
        self._server = Server(
            len(modules), head, data.y, method, batch_size, sigma, loss, seed, secure=secure
        )
        received = []
        for i, party in enumerate(self._parties):
            first = party.outputs(party.x)
            expect(first.ndim == 2, f"train_vertical(parties[{i}])", "embeddings of shape (B, e)",
                   f"the shape {tuple(first.shape)}")  # fmt: skip
            received.append(channel.send(str(i), "server", "embeddings", first))
        self._server.receive(received)
        probe = self._server.embedded(torch.arange(min(2, self._n)))
        expect_own_outputs(head, probe, "train_vertical(head=...)")
        self._server.expect_apart("train_vertical(loss=...)")
        self._step = 0

    def through(self, epochs: int, test: VerticalData | None, progress: Progress) -> VerticalRun:
        import pandas as pd

        rows = [self._row(0, test)]
        with counted(progress, "epochs", epochs, unit="epoch") as advance:
            for epoch in range(epochs):
                for batch in batches_of(
                    self._n, self._size, self._method.privacy, self._seed, epoch
                ):
                    self._one(batch)
                rows.append(self._row(epoch + 1, test))
                advance()
        parameters = [party.flat.as_state(party.w) for party in self._parties]
        head = self._server.flat.as_state(self._server.w)
        table = pd.DataFrame(rows).set_index("epoch")
        return VerticalRun(parameters, head, table, self._plan, self._channel)

    def _one(self, rows: Tensor) -> None:
        """A batch: every party, then the head."""
        send, step = self._channel.send, self._step
        for i, party in enumerate(self._parties):
            pairs = send(str(i), "server", "pair", party.pairs(rows, step))
            told = self._server.answer(i, rows, pairs)
            party.move(step, send("server", str(i), "scalar", told))
        self._server.step(rows, step)
        self._step += 1

    def _row(self, epoch: int, test: VerticalData | None) -> dict[str, float]:
        each = (len(self._parties) + 1) * self._method.directions
        row = row_of(epoch, self._step, each, self._plan, self._channel)
        if test is None:
            return row
        parts = zip(self._parties, test.parts, strict=True)
        embedded = [party.outputs(x.to(party.x.device)) for party, x in parts]
        return row | tested(self._server, embedded, test.y)


def batches_of(
    n: int, size: int, promise: PrivacySpec | None, seed: int, epoch: int
) -> list[Tensor]:
    """Rows of each batch of an epoch, the same for everyone who has the seed."""
    if promise is not None and promise.amplification == "poisson":
        coins = (
            uniform(seed, "batches", epoch, batch, torch.arange(n).numpy())
            for batch in range(-(-n // size))
        )
        return [torch.from_numpy((coin < size / n).nonzero()[0]) for coin in coins]
    draw = torch.Generator().manual_seed(generator_seed(seed, "batches", epoch))
    return list(torch.randperm(n, generator=draw).split(size))


def row_of(
    epoch: int, steps: int, each: int, plan: NoisePlan | None, channel: Channel
) -> dict[str, float]:
    """What a history says after an epoch, but for tests.

    Args:
        epoch: How many are done.
        steps: Batches so far.
        each: Releases of a batch.
        plan: The noise.
        channel: What was sent.
    """
    poisson = plan is not None and plan.spec.amplification == "poisson"
    releases = each * (steps if poisson else epoch)
    spent = float("inf") if releases else 0.0
    return {
        "epoch": epoch,
        "epsilon": spent if plan is None else plan.spent(releases),
        "releases": releases,
        "floats_up": channel.floats("embeddings", "pair"),
        "floats_down": channel.floats("scalar"),
    }


def tested(server: Server, embedded: Sequence[Tensor], y: Tensor) -> dict[str, float]:
    """Loss of a server's head on embeddings of all parties, and accuracy of classes."""
    y = y.to(server.y.device)
    parts = [part.to(y.device, server.flat.dtype) for part in embedded]
    outputs = server.outputs(torch.cat(parts, 1))
    found = {"test_loss": float(server.losses(outputs, y).mean())}
    if outputs.ndim == 2 and y.ndim == 1 and not y.is_floating_point():
        found["test_accuracy"] = float((outputs.argmax(1) == y).double().mean())
    return found


def _expect_parts(
    parties: Sequence[nn.Module], data: VerticalData, test: VerticalData | None, batch_size: int
) -> None:
    expect(
        len(parties) == data.n_parties, "train_vertical(parties=...)",
        f"a module for each of the {data.n_parties} parties of the data", len(parties),
    )  # fmt: skip
    expect(
        batch_size <= len(data), "train_vertical(batch_size=...)",
        f"{len(data)} examples at most", batch_size,
    )  # fmt: skip
    fits = test is None or [p.shape[1:] for p in test.parts] == [p.shape[1:] for p in data.parts]
    expect(fits, "train_vertical(test=...)", "the columns of the parties", "other shapes")
