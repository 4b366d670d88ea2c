"""The learning rate against the limit of stability."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from overparam._exclusive import forward_mode
from overparam._training_mode import waits_for_others
from overparam._types import Inputs
from overparam.dynamics.probes.probe import Kind, Probe, Scene, clone
from overparam.optim.limits import is_early
from overparam.optim.stability import Stability, stability


def load_forward_mode() -> None:
    """Let torch compile its forward-mode rules, once in a process.

    It takes about half a second on the first derivative, which would otherwise fall into a
    training step and use up the budget of thousands.
    """
    with forward_mode(), forward_ad.dual_level():
        forward_ad.make_dual(torch.zeros(1), torch.ones(1))


def _measured(
    scene: Scene, batch: tuple[Inputs, Tensor], vector: Tensor | None, products: int
) -> Stability | None:
    """Of the network as it is trained; nothing where there is no limit yet.

    An adaptive optimizer has none in its first steps, which is no reason for a warning. Layers
    that share their statistics with other processes would wait for them.
    """
    if is_early(scene.optimizer) or waits_for_others(scene.model):
        return None
    with scene.as_trained() as model:
        return stability(
            model, *batch, scene.loss, scene.optimizer,
            v0=vector, products=products, seed=scene.seed,
        )  # fmt: skip


class Sharpness(Probe):
    """Top eigenvalue of the Gauss–Newton matrix on the probe batch, against the optimizer's limit.

    `stability_ratio` is sharpness / limit: 1 is the edge of stability, for this optimizer in
    its present state. Power iteration goes on from the last direction: two products from a
    random one, one from a warm one, four where the loss is on the move. How far it is from
    settled is `sharpness_residual`, ‖Av − λv‖ / λ: an eigenvalue lies within that part of λ.

    Of the network as it is trained, with the statistics of the probe batch and one mask for
    dropout, the same every time. Of an adaptive optimizer from its tenth step on.
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
        found = _measured(scene, scene.probe, self._vector, products)
        if found is None:
            return {}
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
        found = _measured(scene, scene.batch, self._vector, 2)
        if found is None:
            return {}
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
