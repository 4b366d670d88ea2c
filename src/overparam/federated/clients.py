"""The data of all clients: one pool of examples, and which of them each client has."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from overparam._checked import checked
from overparam._errors import expect
from overparam._numbers import n_bad
from overparam.federated.streams import below


class ClientData:
    """Examples and targets, and a list of rows for each client.

    Args:
        x: (n, …) the examples of all clients.
        y: (n, …) their targets.
        parts: For each client the rows that it has, at least one; see `dirichlet_partition`,
            `pathological_partition`, `iid_partition`, or lists of one's own. Clients may share
            rows.

    Raises:
        TypeError: If a part holds no whole numbers.
        ValueError: If lengths do not fit, a client has nothing, or a row is none of the pool's.

    Example:
        >>> x, y = torch.randn(6, 2), torch.tensor([0, 1, 0, 1, 0, 1])
        >>> data = ClientData(x, y, [[0, 1], [2, 3, 4, 5]])
        >>> len(data), data.sizes.tolist()
        (2, [2, 4])
    """

    @checked
    def __init__(
        self, x: Tensor, y: Tensor, parts: Sequence[Sequence[int] | np.ndarray | Tensor]
    ) -> None:
        where = "ClientData(parts=...)"
        n = len(x) if x.ndim else 0
        fits = y.ndim >= 1 and len(y) == n
        expect(fits, "ClientData(y=...)", f"{n} targets", f"the shape {tuple(y.shape)}")
        for name, value in (("x", x), ("y", y)):
            bad = n_bad(value)
            expect(not bad, f"ClientData({name}=...)", "finite numbers", f"{bad} that are not")
        expect(len(parts) > 0, where, "at least one client", "none")
        rows = [_rows(part, i, n, where) for i, part in enumerate(parts)]
        self.x, self.y = x, y
        self.sizes = np.array([len(part) for part in rows])
        self._rows = np.concatenate(rows)
        self._starts = np.cumsum(self.sizes) - self.sizes

    @classmethod
    def of(cls, pairs: Sequence[tuple[Tensor, Tensor]]) -> "ClientData":
        """From each client's own examples and targets.

        Args:
            pairs: (x_i, y_i) of each client, of one shape and dtype but for their number.
        """
        where = "ClientData.of(pairs=...)"
        good = len(pairs) > 0 and all(
            len(pair) == 2 and all(isinstance(part, Tensor) and part.ndim for part in pair)
            for pair in pairs
        )
        expect(good, where, "a pair of tensors for each client", type(pairs).__name__)
        ends = np.cumsum([len(x) for x, _ in pairs])
        parts = [np.arange(end - len(x), end) for end, (x, _) in zip(ends, pairs, strict=True)]
        return cls(torch.cat([x for x, _ in pairs]), torch.cat([y for _, y in pairs]), parts)

    def __len__(self) -> int:
        return len(self.sizes)

    def part(self, client: int) -> tuple[Tensor, Tensor]:
        """All that one client has."""
        expect(
            0 <= client < len(self), "ClientData.part(client=...)",
            f"a client from 0 to {len(self) - 1}", client,
        )  # fmt: skip
        start = self._starts[client]
        rows = torch.from_numpy(self._rows[start : start + self.sizes[client]])
        return self.x[rows], self.y[rows]

    def parts(self) -> list[np.ndarray]:
        """The rows of the pool that each client has."""
        return np.split(self._rows, self._starts[1:])

    def batch_rows(
        self, seed: int, round: int, clients: np.ndarray, step: int, size: int
    ) -> Tensor:
        """Rows of the pool (s, size) drawn with replacement from each client's own.

        They depend on the seed, the round, the client and the step alone, not on who else takes
        part or how much is left to do.
        """
        drawn = below(
            seed, "batches", self.sizes[clients][:, None], round, clients[:, None], step,
            np.arange(size),
        )  # fmt: skip
        return torch.from_numpy(self._rows[self._starts[clients][:, None] + drawn])


def _rows(part: Sequence[int] | np.ndarray | Tensor, client: int, n: int, where: str) -> np.ndarray:
    """One client's rows as an array of whole numbers, in range."""
    rows = np.asarray(part.cpu() if isinstance(part, Tensor) else part)
    expect(rows.ndim == 1 and rows.size > 0, where, "a list of rows, at least one, for each client",
           f"a part of shape {rows.shape} for client {client}",
           hint="leave a client without data out, or give it some: dirichlet_partition(least=...).",
           )  # fmt: skip
    whole = rows.dtype.kind in "iu"
    expect(whole, where, "rows as whole numbers", f"{rows.dtype} (client {client})",
           error=TypeError)  # fmt: skip
    inside = rows.min() >= 0 and rows.max() < n
    expect(inside, where, f"rows from 0 to {n - 1}",
           f"{rows.min()} to {rows.max()} (client {client})")  # fmt: skip
    return rows.astype(np.int64)
