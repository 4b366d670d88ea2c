"""Gradients of all outputs of a network at once, by a sweep of its autograd graph.

Autograd takes one gradient of the outputs at a time, so that the C outputs of a network cost C
sweeps, each of which reads every saved activation again and works on small tensors. Where every
operation between the outputs and the parameters has a rule that passes gradients on, one sweep
carries those of all outputs: as tensors (C, *shape of the operation's result), whose memory may
be ordered example by example, which is how convolutions and the contraction of their gradients
want them. Nothing here decides that a rule is right: `plan` compares the sweep with autograd.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from overparam.tangents.engine.registry import passing
from overparam.tangents.engine.step import Step


class Sweep:
    """Sweeps of graphs that one model makes of batches, which may share memory.

    What a sweep returns is valid until the next one.
    """

    def __init__(self) -> None:
        self._rooms: dict[tuple[int, int], Tensor] = {}

    def __call__(
        self, outputs: Tensor, functionals: Tensor, wanted: Iterable[Any]
    ) -> dict[Any, Tensor] | None:
        """Gradients of functionals of the outputs with respect to the results of operations.

        Args:
            outputs: (n, C), the result of a forward pass.
            functionals: (K, n, C), weights of the outputs. Where they are a view in which every
                example has the same, work on them is done once until examples differ.
            wanted: The nodes whose first result is meant.

        Returns:
            (K, *result) by node, without the nodes that no output depends on; `None` if some
            operation in between has no rule.
        """
        k, wanted = len(functionals), set(wanted)
        order = _order(outputs.grad_fn, wanted)
        if order is None:
            return None
        pending: dict[Any, Tensor] = {outputs.grad_fn: functionals}
        needed, found, spare = set(order), {}, set()
        for place, node in enumerate(order):
            gradient = pending.pop(node)
            if node in wanted:
                found[node] = gradient.reshape(k, *node._input_metadata[0].shape)
            sources = [(p, s) for p, (s, _) in enumerate(node.next_functions) if s in needed]
            alone = node in spare and node not in wanted and len(sources) == 1
            for position, source in sources:
                shape = torch.Size(source._input_metadata[0].shape)
                room = partial(self._room, (place, position), gradient)
                rule = passing(node, position)
                step = Step(node, position, gradient, shape, room, alone)
                passed = None if rule is None else rule.passed(step)
                if rule is None or passed is None:
                    return None
                if source in pending:
                    passed = pending[source].reshape(k, *shape) + passed.reshape(k, *shape)
                elif rule.fresh and passed.stride(1) != 0:
                    spare.add(source)
                pending[source] = passed
        return found

    def _room(self, key: tuple[int, int], like: Tensor, *shape: int) -> Tensor:
        """Memory that is touched for the first time costs more than what is written to it."""
        kept = self._rooms.get(key)
        if kept is None or len(kept) < shape[0] or kept.shape[1:] != shape[1:]:
            kept = self._rooms[key] = like.new_empty(shape)
        return kept[: shape[0]]


def every_output(outputs: Tensor) -> Tensor:
    """The functionals that pick each output in turn, of all examples: (C, n, C), a view."""
    n, c = outputs.shape
    return torch.eye(c, dtype=outputs.dtype, device=outputs.device)[:, None].expand(c, n, c)


def _order(root: Any, wanted: set[Any]) -> list[Any] | None:
    """Nodes on the way from the outputs to what is wanted, consumers first.

    `None` if one of them has no rule, or passes on another result than its first.
    """
    leads: dict[Any, bool] = {}  # whether something wanted lies behind a node
    order: list[Any] = []
    stack = [(root, False)] if root is not None else []
    while stack:
        node, finished = stack.pop()
        if node in leads:
            continue
        sources = [(p, s, result) for p, (s, result) in enumerate(node.next_functions) if s]
        if not finished:
            stack.append((node, True))
            stack.extend((source, False) for _, source, _ in sources if source not in leads)
            continue
        ahead = [(position, result) for position, source, result in sources if leads[source]]
        if any(result or passing(node, position) is None for position, result in ahead):
            return None
        leads[node] = bool(ahead) or node in wanted
        if leads[node]:
            order.append(node)
    return order[::-1]


def pays(outputs: Tensor, wanted: Iterable[Any]) -> bool:
    """Whether a sweep is likely to take less time than autograd.

    For several outputs it reads what was saved once, and a few rules are faster even for one.
    """
    order = _order(outputs.grad_fn, set(wanted)) or []
    return bool(order) and (outputs.shape[1] > 1 or any(map(_faster, order)))


def _faster(node: Any) -> bool:
    """Whether a rule beats autograd at this node even for one functional."""
    rules = (passing(node, position) for position in range(len(node.next_functions)))
    return any(rule is not None and rule.faster for rule in rules)
