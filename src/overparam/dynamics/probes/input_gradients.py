"""Which inputs the model responds to, along training."""

from typing import Any

import torch
from torch import Tensor

from overparam._batch import n_examples
from overparam.dynamics.probes.kernel import at_start
from overparam.dynamics.probes.probe import (
    Probe,
    Scene,
    clone,
    first_examples,
    outputs_per_example,
    part_of,
    passes,
)
from overparam.tangents.input_gradients import agop_diagonal, cosine


class InputGradients(Probe):
    """The diagonal of the average gradient outer product, and its alignment with the start.

    `agop_trace` is its sum, the mean squared input gradient. `agop_alignment` is the cosine
    between the diagonal now and at initialisation: 1 means the model weighs its inputs as it
    did untrained. Models on integer inputs, or on several tensors, are not measured. With a
    monitor that has ``distance=False``, the start is the first measurement.

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
        self._examples = 0

    def measure(self, scene: Scene) -> dict[str, float]:
        """Trace and alignment."""
        assert scene.probe is not None
        if self.unfit(scene):
            return {}
        n = part_of(min(n_examples(scene.probe[0]), self.n), scene.part, 8)
        x: Any = first_examples(scene.probe, n)[0]
        if self.start is None or (n != self._examples and scene.initial):
            self.start, self._examples = self._diagonal(at_start(scene), x, scene), n
        self.diagonal = self._diagonal(scene.model, x, scene)
        reference = self.start if self.reference is None else self.reference.to(self.start)
        return {
            "agop_trace": float(self.diagonal.sum()),
            "agop_alignment": cosine(self.diagonal, reference),
        }

    def unfit(self, scene: Scene) -> str:
        """Inputs that are whole numbers, or no single tensor of examples."""
        if scene.whole or scene.probe is None:
            return scene.whole
        x = scene.probe[0]
        if not isinstance(x, Tensor):
            return "inputs of several tensors"
        return "" if x.is_floating_point() else "inputs that are whole numbers"

    def relative_cost(self, scene: Scene) -> float:
        """A backward pass for each output of an example, or for each of 16 combinations."""
        if scene.outputs is None:
            return 10.0
        return 0.5 + passes(scene, self.n, min(scene.outputs, 32))

    def _diagonal(self, model: torch.nn.Module, x: Tensor, scene: Scene) -> Tensor:
        if outputs_per_example(scene) <= 32:
            return agop_diagonal(model, x)
        return agop_diagonal(model, x, outputs="random", n_vectors=16, seed=scene.seed)

    def state_dict(self) -> dict[str, Any]:
        """Both diagonals."""
        return {
            "diagonal": clone(self.diagonal), "start": clone(self.start), "n": self._examples
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from saved diagonals."""
        self.diagonal, self.start = state["diagonal"], state["start"]
        self._examples = state.get("n", self.n)
