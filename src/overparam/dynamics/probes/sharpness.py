"""The learning rate against the limit of stability."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from overparam._exclusive import forward_mode
from overparam.dynamics.probes.probe import Kind, Probe, Scene, clone
from overparam.optim.stability import stability


def load_forward_mode() -> None:
    """Let torch compile its forward-mode rules, once in a process.

    It takes about half a second on the first derivative, which would otherwise fall into a
    training step and use up the budget of thousands.
    """
    with forward_mode(), forward_ad.dual_level():
        forward_ad.make_dual(torch.zeros(1), torch.ones(1))


class Sharpness(Probe):
    """Top eigenvalue of the Gauss–Newton matrix on the probe batch, against the optimizer's limit.

    `stability_ratio` is sharpness / limit: 1 is the edge of stability, for this optimizer in
    its present state. Power iteration goes on from the last direction: two products from a
    random one, one from a warm one, four where the loss is on the move. How far it is from
    settled is `sharpness_residual`, ‖Av − λv‖ / λ: an eigenvalue lies within that part of λ.
    """

    name = "sharpness"
    keys = ("sharpness", "sharpness_limit", "stability_ratio", "sharpness_residual")
    by_default = 2
    kind, needs = Kind.SHARPNESS, ("probe",)
    share = 3.0

    def __init__(self) -> None:
        load_forward_mode()
        self._vector: Tensor | None = None

    def measure(self, scene: Scene) -> dict[str, float]:
        """Sharpness, its limit, and their ratio."""
        assert scene.probe is not None
        products = 4 if scene.urgent else 2 if self._vector is None else 1
        found = stability(
            scene.model, *scene.probe, scene.loss, scene.optimizer,
            v0=self._vector, products=products, seed=scene.seed,
        )  # fmt: skip
        self._vector = found.vector
        return {
            "sharpness": found.sharpness,
            "sharpness_limit": found.limit,
            "stability_ratio": found.ratio,
            "sharpness_residual": found.residual,
        }

    def state_dict(self) -> dict[str, Any]:
        """The direction."""
        return {"vector": clone(self._vector)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved direction."""
        self._vector = state["vector"]


class BatchCriticalRate(Probe):
    """Learning rate at which a step on the present mini-batch would be at its limit.

    Small batches have a larger sharpness than the whole set on average, so steps on them can
    be beyond the limit where the whole set is not.
    """

    name = "batch critical rate"
    keys = ("batch_critical_lr",)
    by_default = 4
    needs = ("batch",)

    def __init__(self) -> None:
        load_forward_mode()
        self._vector: Tensor | None = None

    def measure(self, scene: Scene) -> dict[str, float]:
        """The critical rate on this batch."""
        assert scene.batch is not None
        found = stability(
            scene.model, *scene.batch, scene.loss, scene.optimizer,
            v0=self._vector, products=2, seed=scene.seed,
        )  # fmt: skip
        self._vector = found.vector
        return {"batch_critical_lr": found.critical_learning_rate}

    def relative_cost(self, scene: Scene) -> float:
        """Two products with the Gauss–Newton matrix."""
        return 10.0

    def state_dict(self) -> dict[str, Any]:
        """The direction."""
        return {"vector": clone(self._vector)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved direction."""
        self._vector = state["vector"]
