"""Computing one tile of a kernel after another, from factors that are held as long as they fit."""

import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from overparam._batch import n_examples
from overparam._types import Inputs
from overparam.tangents.engine.contraction import contract, expect_finite
from overparam.tangents.engine.factors import Differentiator, Factors, GraphChanged, pass_size
from overparam.tangents.engine.grid import Tile
from overparam.tangents.engine.plan import Plan, make_plan
from overparam.tangents.engine.session import opened

# A side of a tile: beyond this, differentiating the examples again costs less than contracting.
_SIDE = 2048


class TileMaker:
    """Computes tiles; what a job is sent, together with its examples.

    Factors that were computed are held as long as they fit. Pickled, it forgets them.

    Attributes:
        name: The public call it works for, for error messages.
    """

    name = "empirical_ntk_to_file"

    def __init__(
        self, model: nn.Module, probe: Inputs, names: list[str], kind: str, tile: int, memory: int
    ) -> None:
        self.model, self.probe, self.names = model, probe, names
        self.kind, self.tile, self.memory = kind, tile, memory
        self.needed = 0
        self._differentiator: Differentiator | None = None
        self._held: OrderedDict[tuple[str, int], Factors] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_differentiator": None, "_held": OrderedDict()}

    def prepare(self) -> Plan:
        """Examine the model, and choose the tile if that was left open."""
        with opened(self.model, self._chosen()):
            differentiator = self._prepared()
        plan = differentiator.plan
        each = max(1, differentiator.size) * plan.dtype.itemsize
        if self.tile == 0:
            k = plan.outputs if self.kind == "blocks" else 1
            entries = math.isqrt(max(1, self.memory // (4 * k * k * plan.dtype.itemsize)))
            self.tile = max(1, min(_SIDE, self.memory // (2 * each), entries))
            self._differentiator = None  # the choice of contractions depends on the tile
        passes = pass_size(differentiator, self.tile) * plan.floats * plan.dtype.itemsize
        self.needed = 2 * self.tile * each + passes
        return plan

    def strip(
        self, i: int, left: Inputs, rights: Mapping[int, Inputs | None], symmetric: bool
    ) -> list[tuple[Tile, np.ndarray]]:
        """Tiles of a row; a right side of `None` is the left one."""
        with opened(self.model, self._chosen()):
            try:
                return self._strip(i, left, rights, symmetric)
            except GraphChanged:
                self._held.clear()
                plain = self._prepared().plan.without_rules()
                self._differentiator = self._with(plain, {})
                return self._strip(i, left, rights, symmetric)

    def _strip(
        self, i: int, left: Inputs, rights: Mapping[int, Inputs | None], symmetric: bool
    ) -> list[tuple[Tile, np.ndarray]]:
        plan = self._prepared().plan
        k = plan.outputs if self.kind == "blocks" else 1
        side = "both" if symmetric else "right"
        first = self._factors(("both" if symmetric else "left", i), left)
        tiles = []
        for j, right in rights.items():
            second = first if right is None else self._factors((side, j), right)
            n1, n2 = n_examples(left), n_examples(left if right is None else right)
            out = torch.zeros(k, n1, k, n2, dtype=plan.dtype, device=_device(plan))
            contract(out, first, second, symmetric=right is None)
            tiles.append(((i, j), self._numbers(out, plan, (i, j))))
        return tiles

    def _numbers(self, out: Tensor, plan: Plan, tile: Tile) -> np.ndarray:
        """The tile as it stands in the file."""
        expect_finite(out, f"{self.name}(model=...)", f"entries of tile {tile}")
        if self.kind == "blocks":
            return out.permute(1, 3, 0, 2).contiguous().cpu().numpy()
        out = out[0, :, 0]
        return (out / plan.outputs if self.kind == "trace" else out).cpu().numpy()

    def _chosen(self) -> dict[str, Tensor]:
        """The parameters to differentiate by."""
        everything = dict(self.model.named_parameters())
        return {name: everything[name] for name in self.names}

    def _prepared(self) -> Differentiator:
        """The differentiator, made once a process."""
        if self._differentiator is None:
            where = f"{self.name}(model=...)"
            self._differentiator = self._with(
                *make_plan(self.model, self.probe, self._chosen(), where)
            )
        return self._differentiator

    def _with(self, plan: Plan, uses: dict) -> Differentiator:
        return Differentiator(
            self.model,
            plan,
            uses,
            blocks=self.kind == "blocks",
            summed=self.kind == "sum_of_logits",
            columns=max(1, self.tile),
        )

    def _factors(self, key: tuple[str, int], x: Inputs) -> Factors:
        """Factors of a block of examples, from those held if possible."""
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        differentiator = self._prepared()
        itemsize = differentiator.plan.dtype.itemsize
        coming = n_examples(x) * differentiator.size * itemsize
        while self._held and coming + self._bytes(itemsize) > self.memory:
            self._held.popitem(last=False)
        found = differentiator.factors(x, pass_size(differentiator, n_examples(x)))
        self._held[key] = found
        return found

    def _bytes(self, itemsize: int) -> int:
        return sum(factors.numel() for factors in self._held.values()) * itemsize


def _device(plan: Plan) -> torch.device:
    return next(iter(plan.params.values())).device
