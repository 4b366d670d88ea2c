"""The learning rate against the limit of stability."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from overparam._batch import tensors
from overparam._exclusive import forward_mode
from overparam._training_mode import SHARED, waits_for_others
from overparam._types import Batch
from overparam.curvature.output_iteration import Direction
from overparam.dynamics.probes.probe import Kind, Probe, Scene, clone, fewer, products
from overparam.optim.limits import is_early
from overparam.optim.stability import Stability, has_stability_limit, stability
from overparam.optim.stability_turn import Turn, stability_turn


def load_forward_mode() -> None:
    """Let torch compile its forward-mode rules, once in a process.

    It takes about half a second on the first derivative, which would otherwise fall into a
    training step and use up the budget of thousands.
    """
    forward_mode()


# The note of the probe batch with the direction that leads on it.
LEADING = "leading direction"
# The same at the present step's weights, among the parameters.
DIRECTION = "leading direction among the parameters"
# Up to this part of the eigenvalue it may be off, and is still called converged.
SETTLED = 0.25


class Sharpness(Probe):
    """Top eigenvalue of the Gauss–Newton matrix on the probe batch, against the optimizer's limit.

    `stability_ratio` is sharpness / limit: 1 is the edge of stability, for this optimizer in
    its present state. Power iteration goes on from the last direction, one product at a time, or
    two at first and four where the loss is on the move; on fewer examples always one, and of more
    than ten million parameters too, on half of the probe batch. How far it is from settled is
    `sharpness_residual`, ‖Av − λv‖ / λ: an eigenvalue lies within that part of λ. Up to a quarter
    of it `sharpness_converged` is 1; where it is 0, the sharpness is too small as a rule.

    Where less than all is asked for it is of fewer examples, and its products are differences of
    two passes forward, off by about a part in a thousand; one that is off by 2 % is taken exactly.

    Of the network as it is trained, with the statistics of the probe batch and one mask for
    dropout, the same every time. Of an adaptive optimizer from its tenth step on.
    """

    name = "sharpness"
    keys = (
        "sharpness",
        "sharpness_limit",
        "stability_ratio",
        "sharpness_residual",
        "sharpness_converged",
    )
    by_default = 2
    kind, needs = Kind.SHARPNESS, ("probe",)
    share, within = 3.0, 75

    def __init__(self) -> None:
        load_forward_mode()
        self._power = _Power()

    def measure(self, scene: Scene) -> dict[str, float]:
        """Sharpness, its limit, and their ratio."""
        scene = _within_reason(scene)
        assert scene.probe is not None
        turns = 4 if scene.urgent and scene.part >= 1 else 1
        fresh = self._power.change is None and scene.part >= 1
        batch = fewer(scene.probe, scene)
        found = self._power.go_on(scene, batch, max(turns, 2) if fresh else turns)
        self.waiting = self._power.waiting
        if found is None:
            return {}
        # Of the same examples, and not of those of an earlier measurement.
        scene.notes.pop(LEADING, None)
        if isinstance(found, Turn):
            scene.notes[LEADING] = *batch, found.vector
            if found.direction is not None and _is_small(scene):
                scene.passing[DIRECTION] = found.direction
        return {
            "sharpness": found.sharpness,
            "sharpness_limit": found.limit,
            "stability_ratio": found.ratio,
            "sharpness_residual": found.residual,
            "sharpness_converged": float(found.residual <= SETTLED),
        }

    def unfit(self, scene: Scene) -> str:
        """An optimizer without a known limit, once that has been said; sparse tensors."""
        return self._power.why or _sparse(scene.probe)

    def relative_cost(self, scene: Scene) -> float:
        """A product with the Gauss–Newton matrix; two at first, if it is asked for all."""
        first = self._power.change is None and scene.part >= 1
        return 0.3 + products(scene, scene.probe, 2 if first else 1)

    def state_dict(self) -> dict[str, Any]:
        """The direction, as the change of the outputs it makes; a long one in half precision."""
        change = clone(self._power.change)
        if change is not None and change.numel() > _LONG:
            change = change.bfloat16()
        return {"change": change}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved direction; states of earlier versions have another."""
        self._power = _Power(state.get("change"))


class BatchCriticalRate(Probe):
    """Learning rate at which a step on the present mini-batch would be at its limit.

    Small batches have a larger sharpness than the whole set on average, so steps on them can
    be beyond the limit where the whole set is not. One product, from the direction that leads on
    the probe batch, if `Sharpness` has found one: at the same step, as a rule, when half of it is
    there already. Where `batch_critical_lr_converged` is 0, the rate is too large as a rule.
    """

    name = "batch critical rate"
    keys = ("batch_critical_lr", "batch_critical_lr_converged")
    by_default = 4
    needs, beside = ("batch",), "sharpness"

    def __init__(self) -> None:
        load_forward_mode()
        self._power = _Power()

    def measure(self, scene: Scene) -> dict[str, float]:
        """The critical rate on this batch."""
        self._power.change = None
        known = scene.passing.get(DIRECTION, scene.notes.get(LEADING))
        scene = _within_reason(scene)
        turns = 2 if scene.part >= 1 else 1
        assert scene.batch is not None
        found = self._power.go_on(scene, fewer(scene.batch, scene), turns, known)
        self.waiting = self._power.waiting
        if found is None:
            return {}
        return {
            "batch_critical_lr": found.critical_learning_rate,
            "batch_critical_lr_converged": float(found.residual <= SETTLED),
        }

    def unfit(self, scene: Scene) -> str:
        """An optimizer without a known limit, once that has been said; sparse tensors."""
        return self._power.why or _sparse(scene.batch)

    def relative_cost(self, scene: Scene) -> float:
        """A product with the Gauss–Newton matrix, and half of one on the probe batch."""
        batch = scene.batch or scene.probe
        other = 0.0 if scene.beside and _is_small(scene) else 0.4
        return 0.1 + products(scene, batch, 1) + other * products(scene, scene.probe, 1)


def _within_reason(scene: Scene) -> Scene:
    """The same, with half of the examples and nothing beyond one product for a large model."""
    if _is_small(scene):
        return scene
    return replace(scene, part=min(scene.part, 0.5), urgent=False)


def _is_small(scene: Scene) -> bool:
    """Whether another vector of the size of the parameters is not felt."""
    return sum(p.numel() for p in scene.model.parameters()) <= _LARGE


def _sparse(batch: Batch | None) -> str:
    parts = () if batch is None else tensors(batch[0])
    whole = all(part.layout in (torch.strided, torch.jagged) for part in parts)
    return "" if whole else "inputs that are sparse"


def _moved(scene: Scene) -> Any:
    """What the optimizer moves now, as it is kept: on the way layers may be frozen, or moved."""
    groups = scene.optimizer.param_groups
    moved = (p for group in groups for p in group["params"] if p.requires_grad)
    return [(id(p), p.dtype, p.device) for p in moved]


_LARGE = 10_000_000
# Numbers of a direction that are worth saving exactly.
_LONG = 1 << 20


class _Power:
    """Power iteration that goes on from one measurement to the next."""

    def __init__(self, change: Tensor | None = None) -> None:
        self.change = change
        self.why = self.waiting = ""
        self._vector: Tensor | None = None
        self._of: Any = None  # what that is a direction of

    def go_on(
        self,
        scene: Scene,
        batch: Batch,
        turns: int,
        known: tuple[Any, Any, Tensor] | Direction | None = None,
    ) -> Stability | None:
        """A few products more, or one from the direction that is known of another batch.

        Of the network as it is trained; `None` where there is no limit yet. An adaptive optimizer
        has none in its first steps, which is no reason for a warning; layers that share their
        statistics with other processes would wait for them.
        """
        self.waiting = ""
        if waits_for_others(scene.model):
            self.why = SHARED
            return None
        if is_early(scene.optimizer):
            name = type(scene.optimizer).__name__
            self.waiting = f"{name} has no limit of stability in its first steps"
            return None
        with scene.as_trained() as model:
            found = stability_turn(
                model, *batch, scene.loss, scene.optimizer,
                change=self.change, turns=turns, known=known, seed=scene.seed,
                differences=scene.part < 1,
            )  # fmt: skip
            if found is not None:
                self.change, self._vector = found.vector, None
                return found
            known_of, self._of = self._of, _moved(scene)
            start = self._vector if known_of == self._of else None
            found = stability(
                model, *batch, scene.loss, scene.optimizer,
                v0=start, products=turns if start is not None else turns + 1, seed=scene.seed,
            )  # fmt: skip
        self._vector = found.vector
        if not has_stability_limit(scene.optimizer):
            self.why = f"no limit is known for {type(scene.optimizer).__name__}"
        return found
