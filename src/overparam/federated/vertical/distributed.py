"""The vertical split between processes: each party keeps its columns, the server its labels.

Rank 0 of a gloo group of `torch.distributed` is the server, every other rank a party:

    torchrun --nproc-per-node 3 job.py

Up go, once, five whole numbers and the embeddings of all examples, then embeddings of both sides of
a model for every batch; down goes one noised number for each direction, and nothing else ever.
Batches and directions are drawn by everyone from the seed, which is public; the noise is not.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from overparam._checked import checked
from overparam._errors import complaint, expect
from overparam._model import expect_own_outputs
from overparam._numbers import n_bad
from overparam._progress import Progress, counted, expect_progress
from overparam._types import Count, Natural, Params, Positive
from overparam.federated.engine.choice import expect_no_batch_norm
from overparam.federated.local_training import digest_of
from overparam.federated.vertical.accountant import NoisePlan, plan_noise
from overparam.federated.vertical.channel import Channel
from overparam.federated.vertical.dpzv import DPZV
from overparam.federated.vertical.parties import Party, Server
from overparam.federated.vertical.training import (
    batches_of,
    each_cross_entropy,
    row_of,
    tested,
)

if TYPE_CHECKING:
    import pandas as pd

_DTYPES = (torch.float32, torch.float64)


@dataclass(frozen=True)
class ServedRun:
    """What the server of a vertical split has in the end; what parties learned is theirs.

    Attributes:
        head: Its parameters by name, for `load_state_dict(…, strict=False)`.
        history: As that of `VerticalRun`.
        plan: The noise; `None` without.
        channel: What crossed the boundary, each number counted.
    """

    head: Params
    history: "pd.DataFrame"
    plan: NoisePlan | None
    channel: Channel


@checked
def serve_vertical(
    head: nn.Module,
    y: Tensor,
    method: DPZV,
    *,
    epochs: Count,
    batch_size: Count,
    loss: Callable[[Tensor, Tensor], Tensor] = each_cross_entropy,
    test_y: Tensor | None = None,
    timeout: Positive = 60.0,
    secure_noise: bool = True,
    channel: Channel | None = None,
    progress: Progress = True,
    seed: Natural = 0,
) -> ServedRun:
    """The server's part in training a vertical split between processes.

    Every other rank of the group calls `join_vertical` with the same settings. The result is that
    of `train_vertical` with the same modules and seeds, bit for bit on machines that round alike,
    where noise may be repeated (`secure_noise=False` on both sides).

    Args:
        head: From the embeddings of all parties beside each other to what the loss takes.
        y: (n, …) targets, in the order in which all parties have their rows.
        method: Settings, the same as the parties'.
        epochs: Times that each example is seen.
        batch_size: B.
        loss: As in `train_vertical`.
        test_y: Targets to test on after each epoch, where the parties have `test_x`.
        timeout: Seconds that a party may take for one answer.
        secure_noise: Whether noise comes from the system's entropy. Without it, whoever knows the
            seed can draw the noise again and subtract it: for tests alone.
        channel: Counts what crosses; `Channel(keep=True)` keeps every message.
        progress: Whether to show how far it is.
        seed: Of batches and directions; public.

    Raises:
        RuntimeError: Without a gloo group of two ranks or more in which this is rank 0; if a
            party is gone, or silent for longer than the time-out.
        ValueError: As `train_vertical`, and if a party's settings or rows are others.
    """
    where = "serve_vertical(...)"
    expect_progress(progress, "serve_vertical(progress=...)")
    wire = _Wire(where, timeout, channel)
    expect(wire.rank == 0, where, "rank 0 of the group, the server", f"rank {wire.rank}",
           "every other rank calls join_vertical.", RuntimeError)  # fmt: skip
    expect(batch_size <= len(y), "serve_vertical(batch_size=...)", f"{len(y)} examples at most",
           batch_size)  # fmt: skip
    expect_no_batch_norm(head, "serve_vertical(head=...)")
    parties = range(wire.size - 1)
    plan = None
    if method.privacy is not None:
        plan = plan_noise(
            method.privacy, clip=method.clip, batch_size=batch_size, n_examples=len(y),
            epochs=epochs, releases_per_step=wire.size * method.directions,
        )  # fmt: skip
    sigma = 0.0 if plan is None else plan.sigma
    server = Server(
        len(parties), head, y, method, batch_size, sigma, loss, seed, secure=secure_noise
    )
    hello = [wire.take(i, "hello", (5,), torch.int64).tolist() for i in parties]
    ours = [_settings(method, epochs, batch_size, seed), len(y), _rows(test_y)]
    words = ("method, epochs, batch_size and seed", "rows", "rows to test on")
    for i, told in enumerate(hello):
        for own, said, what in zip(ours, told, words, strict=False):
            expect(said == own, where, f"the server's {what} at every party",
                   f"others at party {i}" if own == ours[0] else f"{said}, not {own}, at party {i}",
                   "they are the same for all.")  # fmt: skip
    widths, dtypes = [told[3] for told in hello], [_DTYPES[told[4]] for told in hello]

    def taken(kind: str, *shape: int) -> list[Tensor]:
        return [wire.take(i, kind, (*shape, widths[i]), dtypes[i]) for i in parties]

    server.receive(taken("embeddings", len(y)))
    probe = server.embedded(torch.arange(min(2, len(y))))
    expect_own_outputs(head, probe, "serve_vertical(head=...)")
    server.expect_apart("serve_vertical(loss=...)")
    step, each = 0, wire.size * method.directions

    def row(epoch: int) -> dict[str, float]:
        found = row_of(epoch, step, each, plan, wire.channel)
        if test_y is None:
            return found
        return found | tested(server, taken("test", len(test_y)), test_y)

    table = [row(0)]
    with counted(progress, "epochs", epochs, unit="epoch") as advance:
        for epoch in range(epochs):
            for rows in batches_of(len(y), batch_size, method.privacy, seed, epoch):
                for i in parties:
                    shape = (2 * method.directions, len(rows), widths[i])
                    pairs = wire.take(i, "pair", shape, dtypes[i])
                    told = server.answer(i, rows, pairs.to(server.y.device))
                    wire.give(i, "scalar", told.to(torch.float64))
                server.step(rows, step)
                step += 1
            table.append(row(epoch + 1))
            advance()
    import pandas as pd

    history = pd.DataFrame(table).set_index("epoch")
    return ServedRun(server.flat.as_state(server.w), history, plan, wire.channel)


@checked
def join_vertical(
    module: nn.Module,
    x: Tensor,
    method: DPZV,
    *,
    epochs: Count,
    batch_size: Count,
    test_x: Tensor | None = None,
    timeout: Positive = 60.0,
    channel: Channel | None = None,
    seed: Natural = 0,
) -> Params:
    """A party's part in training a vertical split between processes; see `serve_vertical`.

    What this process sends are embeddings; what it gets is one noised number for each direction of
    each batch, and nothing else.

    Args:
        module: Columns in, (B, e) embeddings out; left as it was.
        x: (n, …) columns, in the order in which the server has its targets.
        method: As the server's.
        epochs: As the server's.
        batch_size: As the server's.
        test_x: Columns to test on.
        timeout: Seconds that the server, which asks one party after the other, may take.
        channel: Counts what crosses.
        seed: As the server's; public.

    Returns:
        The module's parameters by name.

    Raises:
        RuntimeError: As `serve_vertical`.
        ValueError: For a module with batch norm or random layers, or embeddings of another shape.
    """
    where = "join_vertical(...)"
    wire = _Wire(where, timeout, channel)
    expect(wire.rank > 0, where, "any rank but 0, the server's", "rank 0",
           "rank 0 calls serve_vertical.", RuntimeError)  # fmt: skip
    bad = n_bad(x) + (0 if test_x is None else n_bad(test_x))
    expect(not bad, "join_vertical(x=...)", "finite numbers", f"{bad} that are not")
    expect(batch_size <= len(x), "join_vertical(batch_size=...)", f"{len(x)} examples at most",
           batch_size)  # fmt: skip
    expect_no_batch_norm(module, "join_vertical(module=...)")
    expect_own_outputs(module, x[:2], "join_vertical(module=...)")
    party = Party(wire.rank - 1, module, x, method, seed)
    first = _plain(party.outputs(party.x))
    expect(first.ndim == 2, "join_vertical(module=...)", "embeddings of shape (B, e)",
           f"the shape {tuple(first.shape)}")  # fmt: skip
    kind = _DTYPES.index(first.dtype)
    same = _settings(method, epochs, batch_size, seed)
    said = [same, len(x), _rows(test_x), first.shape[1], kind]
    wire.give(None, "hello", torch.tensor(said))
    wire.give(None, "embeddings", first)

    def shown() -> None:
        if test_x is not None:
            wire.give(None, "test", _plain(party.outputs(test_x.to(party.x.device))))

    shown()
    step = 0
    for epoch in range(epochs):
        for batch in batches_of(len(x), batch_size, method.privacy, seed, epoch):
            wire.give(None, "pair", _plain(party.pairs(batch, step)))
            told = wire.take(None, "scalar", (method.directions,), torch.float64)
            party.move(step, told)
            step += 1
        shown()
    return party.flat.as_state(party.w)


def _settings(method: DPZV, epochs: int, batch_size: int, seed: int) -> int:
    """A number for all that must be the same for everyone."""
    parts = sorted(map(str, asdict(method).items()))
    return int(digest_of(parts, epochs, batch_size, seed)[:15], 16)


def _rows(content: Tensor | None) -> int:
    return 0 if content is None else len(content)


def _plain(content: Tensor) -> Tensor:
    """Numbers as they are sent: in single precision at least."""
    wide = content if content.dtype in _DTYPES else content.float()
    return wide.detach().cpu().contiguous()


class _Wire:
    """Messages between this rank and others, each with a time-out, a name and a count."""

    def __init__(self, where: str, timeout: float, channel: Channel | None) -> None:
        hint = "torchrun starts ranks; init_process_group('gloo') makes a group of them."
        ready = dist.is_available() and dist.is_initialized()
        got = "no group"
        if ready:
            got = f"{dist.get_backend()} with {dist.get_world_size()} ranks"
            ready = "gloo" in dist.get_backend() and dist.get_world_size() > 1
        expect(ready, where, "a gloo group of two ranks or more", got, hint, RuntimeError)
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.channel = Channel() if channel is None else channel
        self._where, self._timeout = where, timeout

    def give(self, party: int | None, kind: str, content: Tensor) -> None:
        """Send to a party, or as a party to the server."""
        sent = self.channel.send(*self._ends(party, "to"), kind, content.cpu()).contiguous()
        self._done(dist.isend, sent, party, f"take {kind!r}")

    def take(
        self, party: int | None, kind: str, shape: tuple[int, ...], dtype: torch.dtype
    ) -> Tensor:
        """Receive from a party, or as a party from the server."""
        content = torch.empty(shape, dtype=dtype)
        self._done(dist.irecv, content, party, f"send {kind!r}")
        return self.channel.send(*self._ends(party, "from"), kind, content)

    def _ends(self, party: int | None, way: str) -> tuple[str, str]:
        """Who sends and who receives, by the names of `Message`."""
        pair = ("server", str(self.rank - 1 if party is None else party))
        down = (party is None) == (way == "from")
        return pair if down else (pair[1], pair[0])

    def _done(self, do: Any, content: Tensor, party: int | None, what: str) -> None:
        """Send or receive, or say who was not there."""
        if content.numel() == 0:
            return
        peer, who = (0, "the server") if party is None else (party + 1, f"party {party}")
        problem = ""
        try:
            do(content, peer).wait(timedelta(seconds=self._timeout))
        except RuntimeError as error:
            problem = " ".join(str(error).split())
        if problem:
            late = "timed out" in problem.lower() or "timeout" in problem.lower()
            got = f"nothing for {self._timeout:g} s" if late else "a connection that was closed"
            hint = f"look at why {who} ended: it may have refused what it was told."
            raise complaint(self._where, f"{who} to {what}", got, hint, RuntimeError)
