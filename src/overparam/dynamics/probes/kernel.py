"""The tangent kernel along training: what part of the loss it holds, how far it has moved."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from overparam._batch import n_examples
from overparam._copies import copied_model
from overparam._findings import known_separate, to_keep
from overparam._training_mode import SHARED, mixes, waits_for_others
from overparam.dynamics.probes.probe import (
    Kind,
    Probe,
    Scene,
    clone,
    first_examples,
    outputs_per_example,
    part_of,
    passes,
)
from overparam.dynamics.spectral_split import split_along
from overparam.tangents.batch_kernel import batch_ntk, orthogonal
from overparam.tangents.empirical import combined_ntk, empirical_ntk
from overparam.tangents.engine.plan import Plan
from overparam.tangents.spectrum import kernel_change

# Combinations of outputs, where not all are taken. Of a kernel in training mode, whose every row
# takes a backward pass of the whole batch: the numbers of all its gradients, and the fewest
# examples.
_DIRECTIONS, _NUMBERS, _FEWEST = 2, 2**26, 8
# The kernel of the present step, with the combinations it is the mean over (0 for all outputs).
_PRESENT = "tangent kernel"
# Combinations of outputs along which a loss is split, where not all are taken.
_FEW = 4
# Passes of a few examples with which a kernel finds out whether its examples are separate.
_CHECKS = 4
_TIED = "trained with the statistics of its batches, so that the loss is none of single examples"


class LossSplit(Probe):
    """The probe batch's loss in the top s eigenvectors of the tangent kernel, and the rest.

    `eigenvalue_1`, … are the eigenvalues of those, as `spectral_loss_split` defines them.
    On as many examples of the probe batch as keep the kernel at `size` outputs; a model with
    more outputs than that per example is not measured, nor one whose training ties the examples of
    a batch together, as batch norm does: with running averages in their place the kernel has
    leading directions in which training cannot move.

    Where that would be too dear for the budget it is of fewer examples, and for another loss than a
    squared error along four random combinations of the outputs, the same every time: of the loss as
    a function of these.

    Args:
        s: Number of eigenvectors.
        size: Most outputs, examples times outputs of each.

    Attributes:
        quadratic: Whether the loss is a squared error; `None` before the first measurement.
    """

    name = "loss split"
    keys = ("loss_top", "loss_rest")
    by_default = 3
    kind, needs = Kind.LOSS_SPLIT, ("probe",)

    def __init__(self, s: int = 5, size: int = 512) -> None:
        self.s, self.size = s, size
        self.quadratic = None
        self._tied: bool | None = None

    def measure(self, scene: Scene) -> dict[str, float]:
        """Both parts."""
        assert scene.probe is not None
        outputs = outputs_per_example(scene)
        n = min(n_examples(scene.probe[0]), self.size // outputs)
        if n < 1:
            return {}
        n = part_of(n, scene.part, 8)
        x, y = first_examples(scene.probe, n)
        if self._tied is None:
            with scene.as_trained() as model:
                self._tied = waits_for_others(model) or mixes(model, x)
        if self._tied:
            return {}
        s = min(self.s, n * outputs)
        with scene.separate():
            m = _FEW if self._sketched(scene, outputs) else 0
            along = orthogonal(outputs, m, scene.seed) if m else None
            split, kernel = split_along(scene.model, x, y, s, scene.loss, combinations=along)
        if kernel is not None:
            scene.passing[_PRESENT] = kernel, m
        self.quadratic = split.quadratic
        leading = {f"eigenvalue_{j}": v for j, v in enumerate(split.eigenvalues, start=1)}
        return {"loss_top": split.top, "loss_rest": split.rest, **leading}

    def _sketched(self, scene: Scene, outputs: int) -> bool:
        """Whether a few combinations of the outputs stand for all."""
        return scene.part < 1 and outputs > _FEW and scene.quadratic is False

    def unfit(self, scene: Scene) -> str:
        """Examples that are no list or are tied together, or more outputs than it takes in all."""
        tied = self._tied or _normalises(scene)
        return scene.whole or (_TIED if tied else too_many(scene, self.size))

    def relative_cost(self, scene: Scene) -> float:
        """A kernel of all outputs: a backward pass for each output of an example."""
        if scene.outputs is None:
            return 40.0
        n = scene.examples(max(self.size // max(scene.outputs, 1), 1))
        each = _FEW if self._sketched(scene, scene.outputs) else scene.outputs
        kernel = 1.5 * passes(scene, n, each)
        return 0.5 + 2 * _CHECKS * passes(scene, 1, 0) + kernel

    def state_dict(self) -> dict[str, Any]:
        """Whether the loss is a squared error."""
        return {"quadratic": self.quadratic}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.quadratic = state["quadratic"]


class KernelChange(Probe):
    """How far the tangent kernel has moved from initialisation, ‖K − K₀‖ / ‖K₀‖.

    Small (below about 0.1) in the kernel regime, of order 1 where features are learned. On the
    first `n` examples of the probe batch; a model with more than `size` outputs per example is
    not measured. K₀ is that of the initial parameters with the present buffers; of a monitor with
    ``distance=False``, that of the first measurement.

    Where training ties the examples of a batch together, as batch norm does, it is the kernel of
    training mode, with the statistics of these examples: running averages alone are no change.

    The kernel is the mean over the outputs. In training mode, and where it would be too dear for
    the budget, it is the mean over two random combinations of them, the same every time; where both
    hold, one. It is then of fewer examples as well. A monitor that measures `LossSplit` takes that
    one's kernel, at the same step, with its combinations.
    """

    name = "kernel change"
    keys = ("kernel_change",)
    by_default = 5
    needs, beside = ("probe",), "loss split"

    def __init__(self, n: int = 32, size: int = 128) -> None:
        self.n, self.size = n, size
        self._start: Tensor | None = None
        self._along = 0  # combinations of outputs that `_start` is the mean over; 0 is all outputs
        self._tied: tuple[tuple[int, ...], bool] | None = None

    def measure(self, scene: Scene) -> dict[str, float]:
        """The relative change."""
        assert scene.probe is not None
        if outputs_per_example(scene) > self.size:
            return {}
        if waits_for_others(scene.model):
            return {}
        n = part_of(min(n_examples(scene.probe[0]), self.n), scene.part, 8)
        x, _ = first_examples(scene.probe, n)
        with scene.as_trained() as model:
            if self._is_tied(scene, model, x):
                return self._of_training(scene, model)
        lost = self._start is not None and not scene.initial
        if self._start is not None and lost:
            n = min(n, len(self._start))  # no more can be known of the start any more
        with scene.separate():
            now: Tensor | None
            now, m = scene.passing.get(_PRESENT, (None, 0))
            if now is None or (lost and m != self._along):
                m = self._combinations(scene, lost)
                now = _kernel(scene, scene.model, first_examples(scene.probe, n)[0], m)
            findings = to_keep(scene.model)
        n = min(n, len(now))
        if self._start is None or (scene.initial and (len(self._start) < n or m != self._along)):
            start = now[:n, :n]
            if scene.initial:
                model = at_start(scene)
                with known_separate(model, _found_alike(findings, model)):
                    start = _kernel(scene, model, first_examples(scene.probe, n)[0], m)
            self._start, self._along = start, m
        return {"kernel_change": kernel_change(now[:n, :n], self._start[:n, :n])}

    def _combinations(self, scene: Scene, lost: bool) -> int:
        """Of the outputs, that a kernel of its own is the mean over; 0 is all of them."""
        if lost:
            return self._along
        if scene.part >= 1 or outputs_per_example(scene) <= _DIRECTIONS:
            return 0
        return self._along or _DIRECTIONS  # those that the start is known along

    def unfit(self, scene: Scene) -> str:
        """Examples that are no list, or of which others would be asked; too many outputs."""
        shared = SHARED if waits_for_others(scene.model) else ""
        return scene.whole or shared or too_many(scene, self.size)

    def _is_tied(self, scene: Scene, model: nn.Module, x: Any) -> bool:
        """Whether training ties examples together; looked at anew when other parts are trained."""
        form = tuple(map(id, scene.training))
        if self._tied is None or self._tied[0] != form:
            self._tied = form, mixes(model, x)
        return self._tied[1]

    def _of_training(self, scene: Scene, model: nn.Module) -> dict[str, float]:
        assert scene.probe is not None
        n = self._rows(scene)
        if self._start is not None and not scene.initial:
            n = len(self._start)  # with the statistics of others it cannot be known any more
        x, _ = first_examples(scene.probe, n)
        directions = _along(scene)
        if self._start is not None and not scene.initial:
            directions = self._along
        form = n_examples(x), directions
        if self._start is None or (len(self._start), self._along) != form:
            self._start = batch_ntk(at_start(scene), x, directions=directions, seed=scene.seed)
            self._along = directions
        now = batch_ntk(model, x, directions=directions, seed=scene.seed)
        return {"kernel_change": kernel_change(now, self._start)}

    def relative_cost(self, scene: Scene) -> float:
        """Two kernels at first."""
        if scene.outputs is None:
            return 40.0
        checks = (2 * _CHECKS + 3) * passes(scene, 1, 0)
        if _normalises(scene):
            n = self._rows(scene)
            once = 1 if self._start is not None and len(self._start) == n else 2
            rows = n * min(scene.outputs, _along(scene))
            kernel = passes(scene, n, rows, rows)
            return 0.5 + checks + once * kernel
        n, outputs = scene.examples(self.n), scene.outputs
        outputs = min(outputs, _DIRECTIONS) if scene.part < 1 else outputs
        once = (1 if self._start is not None or not scene.initial else 2) - scene.beside
        if not once:  # both kernels are there
            return 0.1
        return 0.5 + once * (0.5 * checks + 0.75 * passes(scene, n, outputs))

    def _rows(self, scene: Scene) -> int:
        """Examples whose kernel in training mode can be held."""
        size = sum(p.numel() for p in scene.model.parameters() if p.requires_grad)
        return scene.examples(min(self.n, max(_FEWEST, _NUMBERS // size)), _FEWEST)

    def state_dict(self) -> dict[str, Any]:
        """The kernel at initialisation."""
        return {"start": clone(self._start), "along": self._along}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved kernel."""
        self._start = state["start"]
        # States of earlier versions say whether it was along two.
        self._along = state.get("along", _DIRECTIONS if state.get("combined") else 0)


def _kernel(scene: Scene, model: nn.Module, x: Any, m: int) -> Tensor:
    """The tangent kernel of separate examples, of all outputs or along m combinations of them."""
    if not m:
        return empirical_ntk(model, x)
    return combined_ntk(model, x, orthogonal(outputs_per_example(scene), m, scene.seed))


def _found_alike(findings: dict[Any, Any], twin: nn.Module) -> dict[Any, Any]:
    """What was found out about a model, of a copy of it; not looked for anew."""
    plan = findings.get(Plan)
    if plan is None:
        return {}
    own = dict(twin.named_parameters())
    return {Plan: replace(plan, params={name: own[name] for name in plan.params})}


def _along(scene: Scene) -> int:
    """Combinations of outputs that a kernel in training mode is taken along."""
    return 1 if scene.part < 1 else _DIRECTIONS


def _normalises(scene: Scene) -> bool:
    """Whether a batch norm uses the statistics of its batch; other layers may, unseen."""
    return any(isinstance(part, _BatchNorm) for part in scene.training)


def too_many(scene: Scene, most: int) -> str:
    """The words for more outputs of an example than a kernel is made of; empty if there are not."""
    n = outputs_per_example(scene)
    return f"{n} outputs for an example, more than {most}" if n > most else ""


def at_start(scene: Scene) -> torch.nn.Module:
    """A copy of the model at its initial parameters; itself where they were not kept."""
    if not scene.initial:
        return scene.model
    model = copied_model(scene.model)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.grad = None
            if name in scene.initial:
                p.copy_(scene.initial[name])
    return model
