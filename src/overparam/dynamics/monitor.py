"""The object that watches a training run and changes nothing."""

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from overparam._batch import on_device
from overparam._checked import checked
from overparam._errors import expect
from overparam._types import Loss
from overparam.dynamics.budget import OverheadBudget
from overparam.dynamics.events import Event
from overparam.dynamics.instruments import Instruments
from overparam.dynamics.label_noise import LabelNoiseScorer
from overparam.dynamics.ledger import Ledger
from overparam.dynamics.loss_stream import LossStream, expect_loss
from overparam.dynamics.one_process import OneProcess
from overparam.dynamics.pace import Pace
from overparam.dynamics.probes.defaults import default_probes
from overparam.dynamics.probes.label_noise import LabelStream
from overparam.dynamics.probes.probe import Probe
from overparam.dynamics.record import Record
from overparam.dynamics.record_file import RecordFile
from overparam.dynamics.sinks import Sink, as_function
from overparam.dynamics.spikes.early_warning import EarlyWarning
from overparam.dynamics.spikes.watch import SpikeWatch
from overparam.dynamics.subject import Batch, Forward, Scaler, Subject, expect_pair

if TYPE_CHECKING:
    import pandas as pd

# Part of the budget for what measuring costs training afterwards, whose data it has driven out
# of the caches: an eighth to a quarter of the time it takes itself, on small networks.
_UNSEEN = 1 / 6
# What a saved state holds.
_SAVED = {
    "step", "initial", "probe_batch", "record", "budget", "watch", "labels", "instruments",
    "awaiting", "pace", "batches",
}  # fmt: skip


class Monitor(OneProcess):
    """Watch a training run: stability, spikes and their causes, features, labels.

    Call `step` after `backward` and before `optimizer.step()`, in any loop. Weights, gradients,
    buffers, random numbers and modes are left bit for bit as they are without it. Measurements
    run when the time they cost is covered by the share of the training time they are allowed,
    so their intervals stretch by themselves. Loss and learning rate are kept at every step,
    unless steps are so short that even this takes more than half of the budget; then at every
    third, fifth, … one.

    Spikes of the loss are explained by a log of what each optimizer step found and left, which
    two hooks on the optimizer write until `close`, and by a copy of the parameters. Steps too
    short for the log within `max_overhead` are logged in less detail, or not.

    A measurement that fails is switched off with one warning. One whose numbers were finite and
    overflow, since the run diverges, gives none until they are finite again.

    In a distributed run only rank 0 measures, on the module inside `DistributedDataParallel`,
    and never communicates; on other ranks a monitor does nothing. Nor does it in a process
    forked from the one that made it, such as a worker of a `DataLoader`, nor does a copy, such
    as that in a copy of a model that holds it: the record can be read there, and `step` warns
    once. It cannot be pickled; the model it watches can.

    Names in `history`: ``loss``, ``lr`` (the largest of the groups); the `keys` of each probe,
    which its page explains, such as ``stability_ratio`` (1 is the edge of stability of this
    optimizer); ``noise_rate``, ``suspect_loss``, ``rho``, ``armed`` of labels; ``overhead``.

    Args:
        model: The module that is trained; a compiled one is measured uncompiled, a
            distributed one by the module inside.
        loss: `loss(outputs, targets)`, as training uses it.
        optimizer: The optimizer, over parameters of `model`.
        probes: What to measure; `None` means `default_probes`.
        probe_batch: Fixed (inputs, targets) that curvature and kernels are measured on; `None`
            takes a copy of the first batch `step` is given.
        max_overhead: Own time as a fraction of training time; `math.inf` measures everything at
            every step. While the loss rises it may be exceeded, at most twofold.
        sink: Called as ``sink(numbers, step)`` with a flat dict of floats where something was
            measured; or an object with ``add_scalar(name, value, step)``.
        file: Where to append the record as it grows, for `overparam watch` or another reader.
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

    Raises:
        ValueError: An empty or non-finite probe batch, an optimizer over other parameters,
            a model without trainable ones, one of `n_classes` and `n_samples` without the
            other, a file in a folder that does not exist or that another process writes to. In
            the first step: a file that another monitor of this process has written to since
            this one was made.

    Cost:
        The budget, which includes about 2 µs a step for keeping the loss. What it does not
        include is what any call costs the caches. Memory: one copy of the parameters for
        ``distance``, one to explain spikes by and, between a measured step and the next, another.

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

    @checked
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
        file: Path | str | None = None,
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
        super().__init__()
        self._inert = _rank() > 0
        self.budget = OverheadBudget(max_overhead, clock=clock, reserve=_UNSEEN)
        chosen = default_probes() if probes is None else probes
        self._instruments = Instruments(chosen, self._subject, self.budget)
        self._ledger = Ledger(
            None if sink is None else as_function(sink),
            None if file is None or self._inert else RecordFile(file, self._subject.facts()),
        )
        self._losses = LossStream()
        self._pace = Pace(self.budget)
        self._watch = SpikeWatch(self._subject, self.budget, window)
        if self._inert:
            self._watch.close()
        self._labels: LabelStream | None = None
        if n_classes is not None and n_samples is not None:
            self._labels = LabelStream(LabelNoiseScorer(n_samples, n_classes), self.budget)
        self._kept = 0  # losses since the last clocked step
        self._batches = 1  # to score labels of, until the next look
        self._step = 0
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

        Raises:
            TypeError: A loss that is no number, or a batch that is no pair.
            ValueError: A loss of several numbers. The step does not count then.
        """
        if self._inert:
            return
        if os.getpid() != self._process:
            self._disown()
            return
        expect_loss(loss_value)
        expect_pair(batch)
        step, pace = self._step, self._pace
        self._step = step + 1
        self._watch.examiner.log.step = step
        if step < pace.until and not (logits is not None and self._batches) and not self._awaiting:
            pace.light += 1
            if step % pace.every:
                return
            self._kept += 1
            if self._losses.push(step, loss_value, self._subject.rate(), ids) <= self._watch.alarm:
                return
            self._enter()
            try:
                self._look(step, batch)
            finally:
                self._leave()
            return
        self._enter()
        try:
            self._losses.push(step, loss_value, self._subject.rate(), ids)
            host = self.budget.spent
            self._subject.synchronize()
            pace.pushed(self.budget.spent, host)
            if self._awaiting is not None:
                self._follow_up(batch)
            labels = self._labels
            if labels is not None and logits is not None and self._batches > 0:
                self._batches -= 1
                given = None if batch is None else batch[1]
                self._score(lambda: labels.take(logits, given, ids))
            if step >= pace.until:
                self._look(step, batch)
        finally:
            self._leave()

    def epoch_end(self) -> None:
        """Close an epoch: update the label-noise signal."""
        labels = self._labels
        if self._inert or labels is None or not self._own:
            return
        self._enter()
        try:
            values = self._score(labels.end_epoch)
            if values:
                self._observe(wait=True)
                self._publish(max(self._step - 1, 0), values)
        finally:
            self._leave()

    def close(self) -> None:
        """Complete the record, and mark the run in the file as finished."""
        if not self._inert and self._own:
            self._observe(wait=True)
            self._watch.close()
            self._ledger.end(self._step)

    @property
    def events(self) -> list[Event]:
        """Spikes of the loss with their causes, in order; the last may still be under way."""
        self._observe(wait=True)
        pending = self._watch.pending()
        return [*self._watch.events, *([] if pending is None else [pending])]

    @property
    def warnings(self) -> list[EarlyWarning]:
        """Layers that left their normal range before the loss did, as far as steps are logged."""
        return list(self._watch.warnings)

    @property
    def history(self) -> "pd.DataFrame":
        """One row per step; `nan` where a column was not measured."""
        self._observe(wait=True)
        return self.record.table()

    @property
    def record(self) -> Record:
        """The same by column, as far as it has been looked at."""
        return self._ledger.record

    @property
    def overhead(self) -> float:
        """Own time as a fraction of training time, so far."""
        return self.budget.overhead

    @property
    def probes(self) -> dict[str, Probe]:
        """The probes still in use, by name; one that raises is dropped, with one warning."""
        return self._instruments.probes

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
        self.close()

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
            "instruments": self._instruments.state_dict(),
            "awaiting": self._awaiting,
            "pace": [self._pace.every, self._pace.until],
            "batches": self._batches,
        }

    @checked
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state, in a monitor made with the same arguments.

        Tensors are moved to the model's device, wherever they were read.

        Raises:
            ValueError: If the state is of a model with other parameters.
        """
        missing = sorted(_SAVED - state.keys())
        expect(not missing, "Monitor.load_state_dict(state)", "a state that a monitor gave",
               f"one without {', '.join(missing)}")  # fmt: skip
        saved, own = state["initial"], self._subject.initial
        expect(
            {name: w.shape for name, w in saved.items()} == {n: w.shape for n, w in own.items()},
            "Monitor.load_state_dict(state)",
            "a state of a model with the same parameters",
            f"{len(saved)} of other names or shapes",
        )
        self._step = state["step"]
        self._subject.initial = {name: w.to(own[name]).clone() for name, w in saved.items()}
        self._subject.probe_batch = on_device(state["probe_batch"], self._subject.device)
        self.record.load_state_dict(state["record"])
        self._ledger.resume(self._step)
        self._instruments.load_state_dict(state["instruments"])
        self.budget.load_state_dict(state["budget"])
        self._watch.load_state_dict(state["watch"])
        if self._labels is not None and state["labels"] is not None:
            self._labels.load_state_dict(state["labels"])
        self._awaiting, self._batches = state["awaiting"], state["batches"]
        self._pace.every, self._pace.until = state["pace"]

    def _enter(self) -> None:
        """Training stops here. What it has queued is its own: no clock must find it inside."""
        self._subject.synchronize()
        self._pace.enter(self._kept)
        self.budget.aside(self._watch.examiner.log.spent())
        self._kept = 0

    def _leave(self) -> None:
        """Training goes on from here, and with nothing of the monitor's still queued."""
        self._subject.synchronize()
        self.budget.leave()

    def _observe(self, *, wait: bool = False) -> None:
        """Take the losses that have arrived."""
        if not self._own:
            return
        moments = self._losses.ready(wait=wait)
        if moments:
            self._ledger.losses(moments)
            if not self._watch.calm(moments):
                for moment in moments:
                    self._ledger.events(self._watch.observe(moment))
                self._ledger.rising(self._watch.pending())
        if wait:
            self._ledger.flush()

    def _look(self, step: int, batch: Batch | None) -> None:
        """Take stock, and run the probes that are wanted or due, and covered."""
        start, booked = self.budget.spent, self.budget.booked
        self._observe()
        self._subject.keep_probe_batch(batch)
        self._ledger.events(self._watch.attend(step, batch))
        if not self._instruments.enlisted:
            if self.budget.training == 0 and not math.isinf(self.budget.max_overhead):
                return  # nothing is known yet about how long a step takes
            self._instruments.enlist(self.budget.training / max(step, 1), batch)
        if math.isfinite(self.record.last("loss")):
            for kind in sorted(self._watch.wanted, key=lambda kind: kind.value):
                name = self._instruments.of_kind(kind)
                if name is not None and self.budget.may_borrow(name):
                    self._measure(name, step, batch, urgent=True)
            while (name := self.budget.due(step)) is not None:
                self._measure(name, step, batch, urgent=False)
        labels, budget = self._labels, self.budget
        took = budget.spent - start - (budget.booked - booked)
        books = budget.own - booked - (0.0 if labels is None else labels.spent)
        self._pace.looked(step, took, books, hurry=self._watch.rising)
        if labels is not None:
            self._batches = labels.quota(self._pace.until - step)

    def _measure(self, name: str, step: int, batch: Batch | None, *, urgent: bool) -> None:
        """Run one probe, record and publish its numbers, and book its time."""
        self._subject.synchronize()
        start, probe = self.budget.clock(), self.probes[name]
        values = self._instruments.measure(name, batch, urgent=urgent)
        if probe.kind is not None:
            self._watch.wanted.discard(probe.kind)
        if values:
            self._awaiting = (step, name) if probe.follows_up else self._awaiting
            if probe.quadratic is not None:
                self._watch.quadratic = probe.quadratic
            self._publish(step, values)
            self._ledger.events(self._watch.note({**values, **self._ledger.now()}))
            self._ledger.rising(self._watch.pending())
        self._subject.synchronize()
        if name in self.probes:
            self.budget.ran(name, step, self.budget.clock() - start)

    def _follow_up(self, batch: Batch | None) -> None:
        """Ask a probe for the numbers of the step before."""
        assert self._awaiting is not None
        step, name = self._awaiting
        self._awaiting = None
        self._publish(step, self._instruments.after_step(name, batch))

    def _score(self, score: Callable[[], Mapping[str, float] | None]) -> Mapping[str, float]:
        """Do something about labels; if it fails, do no more."""
        values = self._instruments.guarded("label noise", score)
        if values is None:
            self._labels = None
        return values or {}

    def _publish(self, step: int, values: Mapping[str, float]) -> None:
        """Record numbers and hand them on."""
        if values:
            self._ledger.numbers(step, values, self.budget.overhead)


def _rank() -> int:
    """Of this process in a distributed run; 0 elsewhere."""
    group = torch.distributed
    return group.get_rank() if group.is_available() and group.is_initialized() else 0
