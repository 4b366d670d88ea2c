"""Lengths: of the gradient, the update, the weights, and the way from initialisation."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from overparam.dynamics.probes.probe import Probe, Scene


class Norms(Probe):
    """Euclidean lengths over all trained parameters together.

        grad_norm = ‖g‖,  weight_norm = ‖w‖,  distance = ‖w − w₀‖,  update_norm = ‖w⁺ − w‖

    g is the gradient the optimizer is about to use, divided by the loss scale of mixed
    precision; w⁺ are the parameters at the next step, so the update is what the optimizer did,
    whatever its rule. w₀ are the parameters when the monitor was made.

    Of more than eight million parameters the update's length is estimated from every k-th, some
    four million. A monitor with ``distance=False`` has no w₀ and gives no distance.

    Cost:
        Reads the parameters a few times; memory: a copy of at most some four million of them
        between two steps.
    """

    name = "norms"
    keys = ("grad_norm", "weight_norm", "distance", "update_norm")
    by_default = 1
    share, within = 1.0, 25
    passive = follows_up = True

    def __init__(self) -> None:
        self._before: list[Tensor] | None = None
        self._lack: dict[str, str] = {}

    @torch.no_grad()
    def measure(self, scene: Scene) -> dict[str, float]:
        """Lengths that are known before the step."""
        params = scene.trained()
        gradients = [p.grad for p in params.values() if p.grad is not None]
        weights = list(params.values())
        parts = [
            length(g.coalesce().values() if g.is_sparse else g for g in gradients),
            length(weights),
        ]
        if scene.initial:
            # What was frozen until now is where it was.
            initial = [scene.initial.get(name, p) for name, p in params.items()]
            parts.append(length(_differences(weights, initial)))
        self._before = sample(weights)
        self._lack = {} if scene.initial else {"distance": _NO_START}
        self._lack["grad_norm"] = _NOT_FINITE if gradients else _NO_GRADIENT
        lengths = torch.stack(parts).tolist()
        names = ("weight_norm", "distance")
        values: dict[str, float] = dict(zip(names, lengths[1:], strict=False))
        if gradients:  # none where the monitor was called before backward
            values["grad_norm"] = lengths[0] / scene.grad_scale
        return values

    @torch.no_grad()
    def after_step(self, scene: Scene) -> dict[str, float]:
        """Length of the update, one step later."""
        if self._before is None:
            return {}
        weights = list(scene.trained().values())
        before, self._before = self._before, None
        now = every_kth(weights)
        if [w.shape for w in now] != [w.shape for w in before]:  # layers were frozen, or unfrozen
            return {}
        moved = length(_differences(now, before))
        scaled = sum(w.numel() for w in weights) / max(sum(old.numel() for old in before), 1)
        return {"update_norm": float(moved) * math.sqrt(scaled)}

    @torch.no_grad()
    def early(self, scene: Scene) -> dict[str, float]:
        """The update, if the weights have moved already."""
        if self._before is None:
            return {}
        now = every_kth(list(scene.trained().values()))
        stands = all(torch.equal(w, old) for w, old in zip(now, self._before, strict=True))
        return {} if stands else self.after_step(scene)

    def lacking(self, keys: Sequence[str]) -> str:
        """No gradient, no start, or no step after the one measured."""
        return "; ".join(dict.fromkeys(self._lack.get(key, _NOT_STEPPED) for key in keys))

    def relative_cost(self, scene: Scene) -> float:
        """A fraction of a step."""
        return 0.3

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the weights before a step that is under way are not worth a copy on disk."""
        return {"before": None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state; one of an earlier version holds the weights before the step."""
        self._before = state["before"]


def every_kth(weights: list[Tensor]) -> list[Tensor]:
    """Views of every k-th number; of up to some four million parameters, of every one."""
    # Odd, so that it does not meet the same column of every row.
    k = sum(w.numel() for w in weights) // _MOST | 1
    return weights if k == 1 else [w.reshape(-1)[::k] for w in weights]


def sample(weights: list[Tensor]) -> list[Tensor]:
    """A copy of them."""
    return [w.clone() for w in every_kth(weights)]


_NO_START = "the parameters of the start are not kept (distance=False)"
_NO_GRADIENT = "no parameter had a gradient: call Monitor.step between backward and optimizer.step"
_NOT_FINITE = "no gradient was a number"
_NOT_STEPPED = "known one step after a measurement"
# Parameters of which every one is compared.
_MOST = 1 << 22


def length(tensors: Iterable[Tensor]) -> Tensor:
    """Euclidean length of several tensors together, in single precision at least."""
    given = list(tensors)
    half = {torch.float16, torch.bfloat16}
    if not half.isdisjoint(tensor.dtype for tensor in given):
        given = [tensor.float() if tensor.dtype in half else tensor for tensor in given]
    if not given:
        return torch.zeros(())
    norms = torch._foreach_norm(given)  # pyright: ignore[reportPrivateImportUsage]
    return torch.linalg.vector_norm(torch.stack(list(norms)))


def _differences(ones: list[Tensor], others: list[Tensor]) -> list[Tensor]:
    return list(torch._foreach_sub(ones, others))  # pyright: ignore[reportPrivateImportUsage]
