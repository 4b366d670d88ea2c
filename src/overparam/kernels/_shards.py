"""Rows that are spread over the processes of a group, numbered as if they were behind one another.

Every process holds a block of rows and runs the same program; what it calls here it must call
in the same order as the others. Without a group all of it is about one process, at no cost.
"""

import torch
from torch import Tensor, distributed

from overparam._errors import expect


class Shards:
    """Who holds which rows.

    Args:
        rows: Number of rows of this process.
        group: The processes; None is this one alone.
        device: Where tensors that are exchanged live.
        where: Named in the error if some process has no rows.

    Attributes:
        counts: Rows of every process.
        total: Rows of all.
        start: Number of this process's first row.
    """

    def __init__(
        self,
        rows: int,
        group: "distributed.ProcessGroup | None",
        device: torch.device,
        where: str,
    ) -> None:
        self.group, self.device = group, device
        self.rank = 0 if group is None else distributed.get_rank(group)
        size = 1 if group is None else distributed.get_world_size(group)
        counts = torch.zeros(size, dtype=torch.int64, device=device)
        counts[self.rank] = rows
        self.counts: list[int] = self.sum_(counts).tolist()
        expect(min(self.counts) > 0, where, "rows in every process", self.counts)
        self.total = sum(self.counts)
        self.start = sum(self.counts[: self.rank])

    def sum_(self, tensor: Tensor) -> Tensor:
        """The sum over the processes, in place."""
        if self.group is not None:
            distributed.all_reduce(tensor, group=self.group)
        return tensor

    def all(self, holds: bool) -> bool:
        """Whether it holds in every process: an error is then raised in all or in none."""
        return not self.sum_(torch.tensor(int(not holds), device=self.device))

    def largest(self, value: float) -> float:
        """The largest of the processes' numbers."""
        if self.group is None:
            return value
        number = torch.tensor(value, dtype=torch.float64).to(self.device)
        distributed.all_reduce(number, distributed.ReduceOp.MAX, group=self.group)
        return float(number)

    def own(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Which of the numbered rows are here: their positions in `numbers`, and the rows."""
        local = numbers - self.start
        positions = ((local >= 0) & (local < self.counts[self.rank])).nonzero()[:, 0]
        return positions.to(self.device), local[positions].to(self.device)

    def spread(self, values: Tensor, positions: Tensor, length: int) -> Tensor:
        """Rows from all processes in one order: this one's `values` go to `positions`."""
        if self.group is None:
            return values
        rows = values.new_zeros(length, values.shape[1])
        rows[positions] = values
        return self.sum_(rows)
