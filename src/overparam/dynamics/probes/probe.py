"""What a probe is: it looks at a training step and returns numbers."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from overparam._batch import call, n_examples, take, tensors
from overparam._findings import known_separate
from overparam._model import set_mode
from overparam._parts import Tree, named_parts, parts
from overparam._types import Batch, Loss, Params

# The note of the parts of the model whose examples were found to be separate.
_SEPARATE = "separate"


@dataclass(frozen=True)
class Scene:
    """The step a probe looks at: gradients are computed, the optimizer has not stepped yet.

    Attributes:
        model: The module as a map from inputs to one tensor of outputs, not compiled.
        loss: `loss(outputs, targets)`.
        optimizer: What is about to step.
        initial: Trainable parameters as they were when the monitor was made.
        probe: A fixed batch (inputs, targets), if there is one.
        batch: The batch of this step, if it was passed.
        grad_scale: What the gradients are multiplied by (mixed precision), else 1.
        urgent: The loss is rising or has just come back: prefer accuracy to cost.
        seed: Of anything random.
        part: How much of the work a probe should do, in (0, 1]: a dear one is asked for less, on
            fewer examples or with fewer products, so that it comes round.
        whole: Why the examples of the probe batch cannot be taken apart; empty if they can.
        outputs: Numbers the model returns for one example; `None` if that is not known.
        few: What a pass of a few examples takes, as a part of one of a whole batch, in [0, 1]; 0
            if that is not known. In a small network it is nearly all of it.
        notes: What one probe found out and another can use; kept from one step to the next.
        passing: The same as far as it is of this step alone, and forgotten after it.
        beside: Whether the probe beside which this one is measured has just been.
        training: The parts of the model that are in training mode at this step.
        tree: The parts of the model, where they are known.
        quadratic: Whether the loss is a squared error; `None` if that is not known.
    """

    model: nn.Module
    loss: Loss
    optimizer: Optimizer
    initial: Params
    probe: Batch | None = None
    batch: Batch | None = None
    grad_scale: float = 1.0
    urgent: bool = False
    seed: int = 0
    part: float = 1.0
    whole: str = ""
    outputs: int | None = None
    few: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)
    passing: dict[str, Any] = field(default_factory=dict)
    beside: bool = False
    training: tuple[nn.Module, ...] = ()
    tree: Tree | None = None
    quadratic: bool | None = None

    def trained(self) -> Params:
        """The parameters that require a gradient, under their first names."""
        return trained(self.model, self.tree)

    @contextmanager
    def as_trained(self) -> Iterator[nn.Module]:
        """The model in the modes it is trained in, inside a measurement, which puts them back.

        Layers such as batch norm then use the statistics of what passes through them.
        """
        before = [(part, part.training) for part in parts(self.model)]
        try:
            for part in self.training:
                set_mode(part, training=True)
            yield self.model
        finally:
            for part, mode in before:
                set_mode(part, training=mode)

    @contextmanager
    def separate(self) -> Iterator[None]:
        """Inside, it is looked only once whether the examples of the model are separate.

        The first time that the model is measured in this form, by whichever probe; a look that
        finds otherwise ends the measurement.
        """
        form = tuple(map(id, self.model.modules()))
        known, findings = self.notes.get(_SEPARATE, (None, {}))
        looked = known == form
        findings = findings if looked else {}
        with known_separate(self.model, findings, looked=looked):
            yield
        self.notes[_SEPARATE] = form, findings

    def probe_share(self) -> float:
        """Size of the probe batch in units of a training batch; 1 if either is not known."""
        if self.probe is None or self.batch is None or self.whole:
            return 1.0
        if not tensors(self.batch[0]) or not tensors(self.probe[0]):
            return 1.0
        return n_examples(self.probe[0]) / max(n_examples(self.batch[0]), 1)

    def examples(self, most: int, least: int = 8) -> int:
        """How many examples of the probe batch to take: at most so many, and the part of them."""
        assert self.probe is not None
        return part_of(min(n_examples(self.probe[0]), most), self.part, least)


class Kind(Enum):
    """What a probe finds out, for those who ask for it and do not care which probe answers.

    While the loss rises, and when it has come back, the monitor asks for what tells the causes
    of a spike apart. The first of its probes that is of the kind is run then, whatever its name.

    Attributes:
        SHARPNESS: The curvature against its limit: ``sharpness`` and ``stability_ratio``.
        LOSS_SPLIT: Where the loss lies: ``loss_top`` in the leading eigenvectors of the tangent
            kernel, ``loss_rest`` elsewhere.
    """

    SHARPNESS = "sharpness"
    LOSS_SPLIT = "loss split"

    @property
    def keys(self) -> tuple[str, ...]:
        """The numbers that a probe of this kind returns, perhaps among others."""
        return _KEYS[self]


_KEYS = {
    Kind.SHARPNESS: ("sharpness", "stability_ratio"),
    Kind.LOSS_SPLIT: ("loss_top", "loss_rest"),
}


class Probe:
    """A measurement that a `Monitor` repeats along training.

    Subclasses define `name`, `keys` and `measure`, and declare what they need. Whatever
    `measure` evaluates, it runs in evaluation mode (inside `scene.as_trained()` in that of
    training), with gradients enabled, and the model's mode, buffers, gradients and random numbers
    are put back afterwards; it must not write to parameters. A probe that looks at the gradients
    of the step has to be `passive`.

    Attributes:
        name: What warnings and costs are kept under.
        keys: Names of the numbers it returns.
        kind: What it finds out that others ask for, if anything.
        needs: What of the scene must be there: ``"probe"``, ``"batch"``. Without, it is not run.
        beside: The name of a probe part of whose work it can use: of the monitor's probes it is
            then run right after that one, at the same step.
        by_default: Its place among the probes of a monitor that is not told which; 0 is none.
        share: Its part of the budget relative to the other probes.
        every: Fewest steps between two measurements.
        within: Steps within which it should come round: where it would not, it is asked for less.
        passive: It only reads tensors that exist, so nothing has to be put back.
        follows_up: `after_step` is wanted one step later.
        waiting: Why its last measurement gave nothing, though a later one may.
        quadratic: Whether the loss turned out to be a squared error; `None` if that is not known.

    Example:
        >>> class GradientSparsity(Probe):
        ...     name, keys, passive = "sparsity", ("sparsity",), True
        ...     def measure(self, scene):
        ...         grads = [p.grad for p in scene.model.parameters() if p.grad is not None]
        ...         zeros = sum(int((g == 0).sum()) for g in grads)
        ...         return {"sparsity": zeros / sum(g.numel() for g in grads)}
    """

    name: str = "probe"
    keys: tuple[str, ...] = ()
    kind: Kind | None = None
    needs: tuple[Literal["probe", "batch"], ...] = ()
    beside: str = ""
    by_default: int = 0
    share: float = 1.0
    every: int = 1
    within: int = 250
    passive: bool = False
    follows_up: bool = False
    waiting: str = ""
    quadratic: bool | None = None

    def measure(self, scene: Scene) -> dict[str, float]:
        """Numbers by name; an empty dict where there is nothing to measure on."""
        raise NotImplementedError(f"{type(self).__name__} must define `measure`")

    def unfit(self, scene: Scene) -> str:
        """Why it has nothing to say of this model or data; empty if it has. Asked each time."""
        return ""

    def lacking(self, keys: Sequence[str]) -> str:
        """Why none of its measurements has given these of its keys; empty if that is not known."""
        return ""

    def relative_cost(self, scene: Scene) -> float:
        """Expected cost in training steps of the part of its work that the scene asks for.

        Until it has been measured; then by how much more or less another part would take.
        """
        return 10.0 * scene.probe_share()

    def after_step(self, scene: Scene) -> dict[str, float]:
        """Numbers of the last measured step that are known only after it, one step later."""
        return {}

    def early(self, scene: Scene) -> dict[str, float]:
        """What `after_step` would say, before a state is saved, if that can be known by now."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What it carries from one measurement to the next."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""


def trained(model: nn.Module, tree: Tree | None = None) -> Params:
    """The parameters that require a gradient, under their first names."""
    found: Params = {}
    seen: set[int] = set()
    for path, module in named_parts(model) if tree is None else tree.named():
        for name, p in module._parameters.items():
            if p is not None and p.requires_grad and id(p) not in seen:
                seen.add(id(p))
                found[f"{path}.{name}" if path else name] = p
    return found


def clone(tensor: Tensor | None) -> Tensor | None:
    """A copy to keep, or nothing."""
    return None if tensor is None else tensor.detach().clone()


def first_examples(batch: Batch, n: int) -> Batch:
    """The first n examples of a batch."""
    return take(batch[0], slice(0, n)), take(batch[1], slice(0, n))


def part_of(n: int, part: float, least: int) -> int:
    """So many of n things, but no fewer than `least` and no more than there are."""
    return max(min(n, least), math.ceil(part * n))


def passes(scene: Scene, n: int, each: float, calls: float = 1) -> float:
    """Training steps that a forward pass and so many backward passes on n examples are like.

    Part of a pass is the same for any number of examples, and paid once by those that are made
    together in one of so many calls.
    """
    batch = scene.batch or scene.probe
    if scene.whole or batch is None or not tensors(batch[0]):
        return (1 + 2 * each) / 3
    share = n / max(n_examples(batch[0]), 1)
    fixed = scene.few * (1 + 2 * min(calls, each))
    return (fixed + (1 - scene.few) * share * (1 + 2 * each)) / 3


def fewer(batch: Batch, scene: Scene) -> Batch:
    """The first examples of a batch, as many as the scene asks for.

    Never fewer than 16, or than half of a smaller batch: they would no longer stand for it.
    """
    if scene.part >= 1 or scene.whole:
        return batch
    return first_examples(batch, n_fewer(n_examples(batch[0]), scene))


def n_fewer(n: int, scene: Scene) -> int:
    """How many that is, of n."""
    if scene.part >= 1 or scene.whole:
        return n
    return part_of(n, scene.part, min(16, (n + 1) // 2))


def products(scene: Scene, batch: Batch | None, number: float) -> float:
    """Training steps that so many products with the curvature on part of a batch are like.

    One is a pass forward and backward, and a pass forward with tangents.
    """
    share = 1.0 if batch is None or batch is scene.batch else scene.probe_share()
    if batch is not None and tensors(batch[0]):
        n = n_examples(batch[0])
        share *= n_fewer(n, scene) / max(n, 1)
    return 1.7 * number * (scene.few + (1 - scene.few) * share)


def outputs_per_example(scene: Scene) -> int:
    """How many numbers the model returns for one example of the probe batch."""
    if scene.outputs is not None:
        return scene.outputs
    assert scene.probe is not None
    x, _ = first_examples(scene.probe, 1)
    with torch.no_grad():
        return call(scene.model, x).numel()
