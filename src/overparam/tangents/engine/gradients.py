"""Gradients of a network's outputs with respect to the results of operations."""

from collections.abc import Iterator
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from overparam.tangents.engine.sweep import Sweep, every_output

# Numbers of the gradients of all outputs, up to which they are taken in one pass.
_FEW = 2**22


class Gradients:
    """By node, of all outputs in one call where there is one, else of one after another.

    Args:
        outputs: C.
        swept: Whether sweeps of the graph give what autograd gives.
        dtype: Of what is returned.
    """

    def __init__(self, outputs: int, *, swept: bool, dtype: torch.dtype) -> None:
        self.outputs, self.swept, self.dtype = outputs, swept, dtype
        self._sweep = Sweep()
        self._may_batch = True

    def together(self, outputs: Tensor, nodes: list[Any]) -> dict[Any, Tensor] | None:
        """(C, *result) by node, without those on which nothing depends; `None` without a way.

        They are valid until the next call, unless they are `kept`.
        """
        found = self._sweep(outputs, every_output(outputs), nodes) if self.swept else None
        if found is not None:
            return {node: gradient.to(self.dtype) for node, gradient in found.items()}
        if self.outputs > 1:
            return self._batched(outputs, nodes)
        gradients = self._autograd(outputs, nodes, torch.ones_like(outputs))
        return {node: g[None] for node, g in gradients.items() if g is not None}

    def each(self, outputs: Tensor, nodes: list[Any]) -> Iterator[dict[Any, Tensor | None]]:
        """The same for each output in turn, with `None` for what it does not depend on."""
        one = torch.zeros_like(outputs)
        for c in range(self.outputs):
            one.zero_()[:, c] = 1
            yield self._autograd(outputs, nodes, one)

    def kept(self) -> None:
        """What was returned last belongs to the caller: nothing is written over it."""
        self._sweep = Sweep()

    def _batched(self, outputs: Tensor, nodes: list[Any]) -> dict[Any, Tensor] | None:
        """By one pass of autograd that carries all outputs, where the calls cost more than it."""
        numbers = sum(prod(node._input_metadata[0].shape) for node in nodes)
        if not self._may_batch or self.outputs * numbers > _FEW:
            return None
        edges = [GradientEdge(node, 0) for node in nodes]
        try:
            gradients = torch.autograd.grad(
                outputs, edges, every_output(outputs), retain_graph=True, allow_unused=True,
                is_grads_batched=True,
            )  # fmt: skip
        except RuntimeError:  # an operation without a batched derivative
            self._may_batch = False
            return None
        found = zip(nodes, gradients, strict=True)
        return {node: g.to(self.dtype) for node, g in found if g is not None}

    def _autograd(
        self, outputs: Tensor, nodes: list[Any], weights: Tensor
    ) -> dict[Any, Tensor | None]:
        """The gradients of one functional."""
        edges = [GradientEdge(node, 0) for node in nodes]
        gradients = torch.autograd.grad(
            outputs, edges, weights, retain_graph=True, allow_unused=True
        )
        return {
            node: None if g is None else g.to(self.dtype)
            for node, g in zip(nodes, gradients, strict=True)
        }
