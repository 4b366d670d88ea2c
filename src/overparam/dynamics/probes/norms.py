"""Lengths: of the gradient, the update, the weights, and the way from initialisation."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from overparam.dynamics.probes.probe import Probe, Scene, trained


class Norms(Probe):
    """Euclidean lengths over all trained parameters together.

        grad_norm = ‖g‖,  weight_norm = ‖w‖,  distance = ‖w − w₀‖,  update_norm = ‖w⁺ − w‖

    g is the gradient the optimizer is about to use, divided by the loss scale of mixed
    precision; w⁺ are the parameters at the next step, so the update is what the optimizer did,
    whatever its rule. w₀ are the parameters when the monitor was made.

    Cost:
        Reads the parameters a few times; memory: one copy of them between two steps.
    """

    name = "norms"
    keys = ("grad_norm", "weight_norm", "distance", "update_norm")
    by_default = 1
    passive = follows_up = True

    def __init__(self) -> None:
        self._before: list[Tensor] | None = None

    def measure(self, scene: Scene) -> dict[str, float]:
        """Lengths that are known before the step."""
        params = trained(scene.model)
        gradients = [p.grad for p in params.values() if p.grad is not None]
        initial = [scene.initial[name] for name in params]
        weights = [p.detach() for p in params.values()]
        self._before = [w.clone() for w in weights]
        lengths = torch.stack(
            [
                length(g.coalesce().values() if g.is_sparse else g for g in gradients),
                length(weights),
                length(w - start for w, start in zip(weights, initial, strict=True)),
            ]
        ).tolist()
        values = {"weight_norm": lengths[1], "distance": lengths[2]}
        if gradients:  # none where the monitor was called before backward
            values["grad_norm"] = lengths[0] / scene.grad_scale
        return values

    def after_step(self, scene: Scene) -> dict[str, float]:
        """Length of the update, one step later."""
        if self._before is None:
            return {}
        weights = [p.detach() for p in trained(scene.model).values()]
        moved = length(w - old for w, old in zip(weights, self._before, strict=True))
        self._before = None
        return {"update_norm": float(moved)}

    def relative_cost(self, scene: Scene) -> float:
        """A fraction of a step."""
        return 0.3

    def state_dict(self) -> dict[str, Any]:
        """The parameters before the step, where its update is still to be measured."""
        return {"before": self._before}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self._before = state["before"]


def length(tensors: Iterable[Tensor]) -> Tensor:
    """Euclidean length of several tensors together, in single precision at least."""
    parts = []
    for tensor in tensors:
        dtype = torch.float32 if tensor.dtype in (torch.float16, torch.bfloat16) else None
        parts.append(torch.linalg.vector_norm(tensor.detach(), dtype=dtype))
    return torch.linalg.vector_norm(torch.stack(parts)) if parts else torch.zeros(())
