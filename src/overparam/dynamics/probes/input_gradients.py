"""Which inputs the model responds to, along training."""

from typing import Any

from torch import Tensor, nn

from overparam._findings import known_separate
from overparam._training_mode import statistics_fixed
from overparam.dynamics.probes.kernel import at_start
from overparam.dynamics.probes.probe import (
    Probe,
    Scene,
    clone,
    first_examples,
    outputs_per_example,
    passes,
)
from overparam.tangents.input_gradients import agop_diagonal, cosine

# Up to so many outputs are all differentiated; of more, so many combinations, and fewer where
# less is asked for.
_ALL, _SOME, _FEW = 32, 16, 4
# Passes of a few examples that look whether the examples are separate.
_CHECKS = 4


class InputGradients(Probe):
    """The diagonal of the average gradient outer product, and its alignment with the start.

    `agop_trace` is its sum, the mean squared input gradient. `agop_alignment` is the cosine
    between the diagonal now and at initialisation: 1 means the model weighs its inputs as it
    did untrained. Models on integer inputs, or on several tensors, are not measured. With a
    monitor that has ``distance=False``, the start is the first measurement.

    Of more than 32 outputs 16 random combinations are taken, whose sum has the same mean, and where
    all would be too dear for the budget 4, on fewer examples; the same ones every time.

    Random layers are passed by, since the number is about the function that is learned. Batch
    norm has the statistics of the examples measured on, as it does in training, but held fixed:
    running averages alone are no change, and an output has gradients in its own input only.

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
        self._form: tuple[int, int] = (0, 0)  # examples, and combinations of outputs; 0 is all
        self._starts: dict[tuple[int, int], Tensor] = {}

    def measure(self, scene: Scene) -> dict[str, float]:
        """Trace and alignment."""
        assert scene.probe is not None
        if self.unfit(scene):
            return {}
        n = scene.examples(self.n)
        form = n, _combinations(outputs_per_example(scene), scene.part)
        x: Any = first_examples(scene.probe, n)[0]
        with scene.as_trained() as model:
            with scene.separate():
                self.diagonal = _diagonal(model, x, form[1], scene.seed)
            if self.start is None or (form != self._form and scene.initial):
                if form not in self._starts:
                    start = at_start(scene)
                    with known_separate(start, {}):  # as the model has just been found to be
                        self._starts[form] = _diagonal(start, x, form[1], scene.seed)
                self.start, self._form = self._starts[form], form
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
        """A backward pass for each output of an example, or for each combination of them.

        Gradients of the inputs alone are half of one.
        """
        if scene.outputs is None:
            return 10.0
        n, first = scene.examples(self.n), 2 if self.start is None else 1
        each = _combinations(scene.outputs, scene.part) or scene.outputs
        return 0.5 + first * (_CHECKS * passes(scene, 1, 0) + passes(scene, n, each / 2, each / 2))

    def state_dict(self) -> dict[str, Any]:
        """Both diagonals."""
        return {
            "diagonal": clone(self.diagonal), "start": clone(self.start),
            "n": self._form[0], "combinations": self._form[1],
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from saved diagonals."""
        self.diagonal, self.start = state["diagonal"], state["start"]
        self._form = state.get("n", self.n), state.get("combinations", 0)


def _combinations(outputs: int, part: float) -> int:
    """How many random combinations to take in place of the outputs; 0 is all of them."""
    if part < 1:
        return _FEW if outputs > _FEW else 0
    return 0 if outputs <= _ALL else _SOME


def _diagonal(model: nn.Module, x: Tensor, combinations: int, seed: int) -> Tensor:
    with statistics_fixed(model, x):
        if not combinations:
            return agop_diagonal(model, x)
        return agop_diagonal(model, x, outputs="random", n_vectors=combinations, seed=seed)
