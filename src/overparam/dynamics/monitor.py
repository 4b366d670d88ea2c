"""The object that watches a training run and changes nothing."""

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from torch import Tensor, nn
from torch.optim import Optimizer

from overparam._errors import expect
from overparam._types import Loss
from overparam.dynamics.budget import OverheadBudget
from overparam.dynamics.events import CatapultCounter, Event, SpikeClassifier
from overparam.dynamics.label_noise import LabelNoiseScorer
from overparam.dynamics.loss_stream import LossStream
from overparam.dynamics.probes.input_gradients import InputGradients
from overparam.dynamics.probes.kernel import KernelChange, LossSplit
from overparam.dynamics.probes.label_noise import LabelStream
from overparam.dynamics.probes.norms import Norms
from overparam.dynamics.probes.probe import Probe, Scene
from overparam.dynamics.probes.sharpness import BatchCriticalRate, Sharpness
from overparam.dynamics.record import Record
from overparam.dynamics.sinks import Sink, as_function
from overparam.dynamics.spike_watch import SpikeWatch
from overparam.dynamics.subject import Batch, Forward, Scaler, Subject

# Seconds that taking stock costs; it may take a fifth of the budget.
_LOOK = 1e-5


class Monitor:
    """Watch a training run: stability, spikes and their causes, features, labels.

    Call `step` after `backward` and before `optimizer.step()`, in any loop. Weights, gradients,
    buffers, random numbers and modes are left bit for bit as they are without it. Measurements
    run when the time they cost is covered by the share of the training time they are allowed,
    so their intervals stretch by themselves; the loss and learning rate are kept at every step.

    Names in `history`: ``loss``, ``lr`` (the largest of the groups); ``grad_norm``,
    ``weight_norm``, ``distance`` (from the parameters at construction), ``update_norm``;
    ``sharpness``, ``sharpness_limit``, ``stability_ratio`` (1 is the edge of stability of this
    optimizer); ``batch_critical_lr``; ``loss_top``, ``loss_rest``; ``kernel_change``;
    ``agop_trace``, ``agop_alignment``; ``noise_rate``, ``suspect_loss``, ``rho``, ``armed``;
    ``overhead``.

    Args:
        model: The module that is trained; a compiled one is measured uncompiled.
        loss: `loss(outputs, targets)`, as training uses it.
        optimizer: The optimizer, over parameters of `model`.
        probes: What to measure; `None` means everything above.
        probe_batch: Fixed (inputs, targets) that curvature and kernels are measured on; `None`
            takes a copy of the first batch `step` is given.
        max_overhead: Own time as a fraction of training time; `math.inf` measures everything at
            every step. While the loss rises it may be exceeded, at most twofold.
        sink: Called as ``sink(numbers, step)`` with a flat dict of floats where something was
            measured; or an object with ``add_scalar(name, value, step)``.
        n_classes: Number of classes and
        n_samples: size of the training set: given both, `step` needs `logits` and `ids`, and
            labels are scored (see `LabelNoiseScorer`).
        forward: ``forward(model, x)`` that returns the tensor `loss` takes, for models that
            return tuples or dicts.
        grad_scale: The loss scale of mixed precision, a number or a `GradScaler`.
        window: Steps a rise of the loss is compared with.
        clock: Seconds, monotone.
        seed: Of the probes' random starts.

    Attributes:
        budget: The account of time.
        label_noise: The scorer, or `None`.
        probes: The probes still in use; one that raises is dropped, with one warning.

    Raises:
        ValueError: An empty or non-finite probe batch, an optimizer over other parameters,
            a model without trainable ones, one of `n_classes` and `n_samples` without the
            other.

    Cost:
        A few microseconds per step, plus the budget. Memory: one copy of the parameters for
        ``distance`` and, between a measured step and the next, another.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Linear(3, 1)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> x, y = torch.randn(8, 3), torch.zeros(8, 1)
        >>> monitor = Monitor(model, nn.functional.mse_loss, optimizer, max_overhead=math.inf)
        >>> for _ in range(5):
        ...     loss = nn.functional.mse_loss(model(x), y)
        ...     optimizer.zero_grad()
        ...     loss.backward()
        ...     monitor.step(loss, batch=(x, y))
        ...     optimizer.step()
        >>> len(monitor.history), bool((monitor.history["stability_ratio"] < 1).all())
        (5, True)

    References:
        Cohen et al. (2021), arXiv:2103.00065: sharpness against 2/lr along training. Zhu, Liu,
        Radhakrishnan, Belkin (2023), arXiv:2306.04815: spikes as catapults. Liu, Zhu, Belkin
        (2023), arXiv:2306.02533: noisy labels along training.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        optimizer: Optimizer,
        *,
        probes: Sequence[Probe] | None = None,
        probe_batch: Batch | None = None,
        max_overhead: float = 0.05,
        sink: Sink | None = None,
        n_classes: int | None = None,
        n_samples: int | None = None,
        forward: Forward | None = None,
        grad_scale: float | Scaler | None = None,
        window: int = 25,
        clock: Callable[[], float] = time.perf_counter,
        seed: int = 0,
    ) -> None:
        self._subject = Subject(model, loss, optimizer, probe_batch, forward, grad_scale, seed)
        expect(
            (n_classes is None) == (n_samples is None),
            "Monitor(n_classes=..., n_samples=...)",
            "both or neither",
            f"n_classes={n_classes}, n_samples={n_samples}",
        )
        self._sink = None if sink is None else as_function(sink)
        chosen = default_probes() if probes is None else probes
        self.probes: dict[str, Probe] = {probe.name: probe for probe in chosen}
        self.budget = OverheadBudget(max_overhead, clock=clock)
        self.record = Record()
        self._losses = LossStream()
        self._watch = SpikeWatch(
            SpikeClassifier(), CatapultCounter(window, close=2.0, floor=0.05, noise=4.0)
        )
        self._labels: LabelStream | None = None
        if n_classes is not None and n_samples is not None:
            self._labels = LabelStream(LabelNoiseScorer(n_samples, n_classes), self.budget)
        self._step = self._next_look = 0
        self._enlisted = False
        self._awaiting: tuple[int, str] | None = None

    def step(
        self,
        loss_value: Tensor | float,
        batch: Batch | None = None,
        ids: Tensor | Sequence[int] | None = None,
        logits: Tensor | None = None,
    ) -> None:
        """Take an optimizer step: after `backward` and before `optimizer.step()`.

        With gradient accumulation, call it once per optimizer step.

        Args:
            loss_value: Loss of the batch, not multiplied by a loss scale.
            batch: The batch (inputs, targets); needed by probes on mini-batches, and for a
                probe batch if none was given.
            ids: Positions of the batch's examples in the training set; named in events.
            logits: Outputs of the batch, for label noise; they are copied.
        """
        self.budget.enter()
        try:
            step = self._step
            self._losses.push(step, loss_value, self._subject.rate(), ids)
            self._step = step + 1
            if self._awaiting is not None:
                self._follow_up(batch)
            labels = self._labels
            if labels is not None and logits is not None and labels.affordable():
                given = None if batch is None else batch[1]
                self._guarded("label noise", lambda: labels.take(logits, given, ids))
            if step >= self._next_look:
                self._look(step, batch)
        finally:
            self.budget.leave()

    def epoch_end(self) -> None:
        """Close an epoch: update the label-noise signal."""
        self.budget.enter()
        try:
            self._observe(wait=True)
            labels = self._labels
            if labels is not None:
                self._publish(
                    max(self._step - 1, 0), self._guarded("label noise", labels.end_epoch)
                )
        finally:
            self.budget.leave()

    @property
    def events(self) -> list[Event]:
        """Spikes of the loss with their causes, in order; the last may still be under way."""
        self._observe(wait=True)
        pending = self._watch.pending()
        return [*self._watch.events, *([] if pending is None else [pending])]

    @property
    def history(self) -> pd.DataFrame:
        """One row per step; `nan` where a column was not measured."""
        self._observe(wait=True)
        return self.record.table()

    @property
    def overhead(self) -> float:
        """Own time as a fraction of training time, so far."""
        return self.budget.overhead

    @property
    def label_noise(self) -> LabelNoiseScorer | None:
        """The label scorer with everything seen so far, or `None`."""
        if self._labels is None:
            return None
        self._labels.flush()
        return self._labels.scorer

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(self, *exception: object) -> None:
        self._observe(wait=True)

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly, in tensors and plain data."""
        self._observe(wait=True)
        return {
            "step": self._step,
            "initial": {name: w.clone() for name, w in self._subject.initial.items()},
            "probe_batch": self._subject.probe_batch,
            "record": self.record.state_dict(),
            "budget": self.budget.state_dict(),
            "watch": self._watch.state_dict(),
            "labels": None if self._labels is None else self._labels.state_dict(),
            "probes": {name: probe.state_dict() for name, probe in self.probes.items()},
            "enlisted": self._enlisted,
            "awaiting": self._awaiting,
            "next_look": self._next_look,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state, in a monitor made with the same arguments.

        Raises:
            ValueError: If the state is of a model with other parameters.
        """
        saved, own = state["initial"], self._subject.initial
        expect(
            {name: w.shape for name, w in saved.items()} == {n: w.shape for n, w in own.items()},
            "Monitor.load_state_dict(state)",
            "a state of a model with the same parameters",
            f"{len(saved)} of other names or shapes",
        )
        self._step = state["step"]
        self._subject.initial = {name: w.to(own[name]).clone() for name, w in saved.items()}
        self._subject.probe_batch = state["probe_batch"]
        self.record.load_state_dict(state["record"])
        self.probes = {name: p for name, p in self.probes.items() if name in state["probes"]}
        for name, probe in self.probes.items():
            probe.load_state_dict(state["probes"][name])
        self._enlisted = False
        if state["enlisted"]:
            self._enlist(1.0)
        self.budget.load_state_dict(state["budget"])
        self._watch.load_state_dict(state["watch"])
        if self._labels is not None and state["labels"] is not None:
            self._labels.load_state_dict(state["labels"])
        self._awaiting, self._next_look = state["awaiting"], state["next_look"]

    def _observe(self, *, wait: bool = False) -> None:
        """Take the losses that have arrived."""
        moments = self._losses.ready(wait=wait)
        if not moments:
            return
        steps = [moment.step for moment in moments]
        self.record.extend("loss", steps, [moment.loss for moment in moments])
        self.record.extend("lr", steps, [moment.rate for moment in moments])
        if not self._watch.calm(moments):
            for moment in moments:
                self._announce(self._watch.observe(moment))

    def _look(self, step: int, batch: Batch | None) -> None:
        """Take stock, and run the probes that are wanted or due, and covered."""
        self._observe()
        if not self._enlisted:
            self._subject.keep_probe_batch(batch)
            if self.budget.training == 0 and not math.isinf(self.budget.max_overhead):
                return  # nothing is known yet about how long a step takes
            self._enlist(self.budget.training / max(step, 1), batch)
        if math.isfinite(self.record.last("loss")):
            for name in sorted(self._watch.wanted & self.probes.keys()):
                if self.budget.may_borrow(name):
                    self._measure(name, step, batch, urgent=True)
            while (name := self.budget.due(step)) is not None:
                self._measure(name, step, batch, urgent=False)
        self._next_look = step + (1 if self._watch.rising else self._stride(step))

    def _stride(self, step: int) -> int:
        """Steps until the next look: very short ones leave no time to look at each."""
        if math.isinf(self.budget.max_overhead):
            return 1
        granted = self.budget.max_overhead * self.budget.training / (step + 1)
        return max(1, min(16, math.ceil(5 * _LOOK / granted))) if granted > 0 else 16

    def _enlist(self, step_seconds: float, batch: Batch | None = None) -> None:
        """Enter the probes in the budget, at costs guessed from the time of a step."""
        scene = self._subject.scene(batch)
        for name, probe in self.probes.items():
            cost = probe.relative_cost(scene) * step_seconds
            self.budget.add(name, cost=cost, share=probe.share, every=probe.every)
        self._enlisted = True

    def _measure(self, name: str, step: int, batch: Batch | None, *, urgent: bool) -> None:
        """Run one probe, record and publish its numbers, and book its time."""
        self._subject.synchronize()
        start = self.budget.clock()
        probe, scene = self.probes[name], self._subject.scene(batch, urgent=urgent)
        values = self._guarded(name, lambda: self._isolated(probe, scene))
        self._watch.wanted.discard(name)
        if values:
            self._awaiting = (step, name) if probe.follows_up else self._awaiting
            if isinstance(probe, LossSplit) and probe.quadratic is not None:
                self._watch.quadratic = probe.quadratic
            self._publish(step, values)
            context = {"lr": self.record.last("lr"), "loss": self.record.last("loss")}
            self._announce(self._watch.note({**values, **context}))
        self._subject.synchronize()
        if name in self.probes:
            self.budget.ran(name, step, self.budget.clock() - start)

    def _follow_up(self, batch: Batch | None) -> None:
        """Ask a probe for the numbers of the step before."""
        assert self._awaiting is not None
        step, name = self._awaiting
        self._awaiting = None
        if name in self.probes:
            scene = self._subject.scene(batch)
            self._publish(step, self._guarded(name, lambda: self.probes[name].after_step(scene)))

    def _isolated(self, probe: Probe, scene: Scene) -> dict[str, float]:
        """A measurement that leaves no trace."""
        if probe.passive:
            return probe.measure(scene)
        with self._subject.isolated():
            return probe.measure(scene)

    def _guarded(
        self, name: str, measure: Callable[[], Mapping[str, float] | None]
    ) -> Mapping[str, float]:
        """Numbers, or none and one warning, and what failed is not used again."""
        try:
            return measure() or {}
        except Exception as problem:
            self.probes.pop(name, None)
            self.budget.remove(name)
            if name == "label noise":
                self._labels = None
            elif name == "sink":
                self._sink = None
            warnings.warn(
                f"the monitor's {name!r} is switched off after {type(problem).__name__}: {problem}",
                RuntimeWarning,
                stacklevel=4,
            )
            return {}

    def _publish(self, step: int, values: Mapping[str, float]) -> None:
        """Record numbers and hand them on."""
        if not values:
            return
        values = {name: float(value) for name, value in values.items()}
        self.record.add(step, values)
        self.record.put("overhead", step, self.budget.overhead)
        both = {"loss": self.record.last("loss"), "lr": self.record.last("lr")}
        self._send({**both, **values}, step)

    def _announce(self, events: list[Event]) -> None:
        for event in events:
            self._send({f"spike/{event.kind}": event.spike.peak_ratio}, event.step)

    def _send(self, numbers: dict[str, float], step: int) -> None:
        """Hand numbers to the sink, if there is one."""
        sink = self._sink
        if sink is not None:

            def send() -> None:
                sink(numbers, step)

            self._guarded("sink", send)


def default_probes() -> list[Probe]:
    """The probes a `Monitor` uses unless told otherwise, new ones each time."""
    return [Norms(), Sharpness(), LossSplit(), BatchCriticalRate(), KernelChange(),
            InputGradients()]  # fmt: skip
