"""Which inputs the model responds to, along training."""

from typing import Any

import torch
from torch import Tensor

from overparam.dynamics.probes.kernel import at_start
from overparam.dynamics.probes.probe import Probe, Scene, clone, first_examples, outputs_per_example
from overparam.tangents.input_gradients import agop_diagonal, cosine


class InputGradients(Probe):
    """The diagonal of the average gradient outer product, and its alignment with the start.

    `agop_trace` is its sum, the mean squared input gradient. `agop_alignment` is the cosine
    between the diagonal now and at initialisation: 1 means the model weighs its inputs as it
    did untrained. Models on integer inputs, or on several tensors, are not measured.

    Args:
        n: Examples of the probe batch to use.
        reference: Diagonal to compare with in place of that at initialisation.

    Attributes:
        diagonal: The latest, one number per input; `None` before the first measurement.
        start: That at initialisation.
    """

    name = "input gradients"
    keys = ("agop_trace", "agop_alignment")
    by_default = 6
    needs = ("probe",)

    def __init__(self, n: int = 128, reference: Tensor | None = None) -> None:
        self.n, self.reference = n, reference
        self.diagonal: Tensor | None = None
        self.start: Tensor | None = None

    def measure(self, scene: Scene) -> dict[str, float]:
        """Trace and alignment."""
        assert scene.probe is not None
        x, _ = first_examples(scene.probe, self.n)
        if not isinstance(x, Tensor) or not x.is_floating_point():
            return {}
        if self.start is None:
            self.start = self._diagonal(at_start(scene), x, scene)
        self.diagonal = self._diagonal(scene.model, x, scene)
        reference = self.start if self.reference is None else self.reference.to(self.start)
        return {
            "agop_trace": float(self.diagonal.sum()),
            "agop_alignment": cosine(self.diagonal, reference),
        }

    def _diagonal(self, model: torch.nn.Module, x: Tensor, scene: Scene) -> Tensor:
        if outputs_per_example(scene) <= 32:
            return agop_diagonal(model, x)
        return agop_diagonal(model, x, outputs="random", n_vectors=16, seed=scene.seed)

    def state_dict(self) -> dict[str, Any]:
        """Both diagonals."""
        return {"diagonal": clone(self.diagonal), "start": clone(self.start)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from saved diagonals."""
        self.diagonal, self.start = state["diagonal"], state["start"]
