"""The object that watches a training run and changes nothing.

Longer than other files, for what a user reads of the monitor stands in one place; what it does is
in the files beside it.
"""

import math
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from overparam._batch import on_device
from overparam._checked import checked
from overparam._errors import expect
from overparam._types import Batch, Forward, Loss
from overparam._user_line import user_level
from overparam.dynamics.batch_form import NoBatch, as_pair
from overparam.dynamics.budget import OverheadBudget
from overparam.dynamics.call_order import CallOrder
from overparam.dynamics.events import Event
from overparam.dynamics.instruments import TRIAL, Instruments, ProbeStatus
from overparam.dynamics.label_noise import LabelNoiseScorer
from overparam.dynamics.ledger import Ledger
from overparam.dynamics.loss_stream import LossStream, expect_loss
from overparam.dynamics.one_process import OneProcess
from overparam.dynamics.pace import Pace
from overparam.dynamics.probes.defaults import default_probes
from overparam.dynamics.probes.label_noise import LabelStream
from overparam.dynamics.probes.probe import Probe, trained
from overparam.dynamics.record import Record
from overparam.dynamics.record_file import RecordFile
from overparam.dynamics.run_document import (
    Facts,
    RunDocument,
    as_document,
    as_html,
    as_text,
    in_a_line,
)
from overparam.dynamics.sinks import Sink, as_function
from overparam.dynamics.spikes.early_warning import EarlyWarning
from overparam.dynamics.spikes.watch import SpikeWatch
from overparam.dynamics.subject import Scaler, Subject, expect_settings

if TYPE_CHECKING:
    import pandas as pd

# Part of the budget for what measuring costs training afterwards, whose data it has driven out
# of the caches: on networks of short steps an eighth to a quarter of the time it takes itself. It
# grows with the number of calls, not with what they take: about 15 µs a step of a tiny network, and
# up to 0.3 ms a measurement of a small ResNet, so that of long steps it is less.
_RESERVE, _UNSEEN = 1 / 6, 50e-6
# Steps whose grant may be spent at once, so that a short run is seen at all: at 5 % it is what one
# or two steps take.
_AHEAD = 30
# What a saved state holds.
_SAVED = {
    "step", "initial", "probe_batch", "record", "budget", "watch", "labels", "instruments",
    "awaiting", "pace", "batches",
}  # fmt: skip


class Monitor(OneProcess):
    """Watch a training run: stability, spikes and their causes, features, labels.

    Call `step` after `backward` and before `optimizer.step()`, in any loop. Weights, gradients,
    buffers, random numbers and modes are left bit for bit as they are without it, and so is what
    modules keep in attributes: tensors, numbers, containers and generators; not what objects of
    other classes keep, nor what a hook or a closure writes elsewhere. Measurements
    run when the time they cost is covered by the share of the training time they are allowed,
    so their intervals stretch by themselves. Loss and learning rate are kept at every step,
    unless steps are so short that even this takes more than half of the budget; then at every
    third, fifth, … one.

    Spikes of the loss are explained by a log of what each optimizer step found and left, which
    two hooks on the optimizer write until `close`, and by a copy of the parameters. Steps too
    short for the log within `max_overhead` are logged in less detail, or not; then marks every
    ten to a hundred steps tell who wrote to weights and moments since, and how long gradients
    were.

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
        loss: `loss(outputs, targets)`, as training uses it; `None` for a model that returns its
            loss when it is given its labels, as those of `transformers` do: it is found with the
            first batch, and the outputs are the model's logits.
        optimizer: The optimizer, over parameters of `model`.
        probes: What to measure; `None` means `default_probes`.
        probe_batch: Fixed (inputs, targets) that curvature and kernels are measured on; `None`
            takes a copy of the first batch `step` is given.
        max_overhead: Own time as a fraction of training time; `math.inf` measures everything at
            every step. What the first 30 steps grant may be spent before they are over, on a
            first look. While the loss rises it may be exceeded, at most twofold; of a run
            with many rises a quarter of it at most goes into measuring why.
        sink: Called as ``sink(numbers, step)`` with a flat dict of floats, once at each step
            where something became known (``update_norm`` does one step later) and once for
            each spike; or an object with ``add_scalar(name, value, step)``.
        file: Where to append the record as it grows, for `overparam watch` or another reader.
        n_classes: Number of classes and
        n_samples: size of the training set: given both, `step` needs `logits` and `ids`, and
            labels are scored (see `LabelNoiseScorer`).
        forward: ``forward(model, x)`` that returns the tensor `loss` takes, for models that
            return tuples or dicts.
        grad_scale: The loss scale of mixed precision, a number or a `GradScaler`.
        window: Steps a rise of the loss is compared with.
        clock: Seconds, monotone.
        distance: Whether to keep a copy of the parameters as they are now, for ``distance`` and for
            what features and kernels are compared with; without, that is their first measurement.
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
        ``distance``, one to explain spikes by, and of at most four million of them between a
        measured step and the next; another while the sharpness is measured.

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
        loss: Loss | None,
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
        distance: bool = True,
        seed: int = 0,
    ) -> None:
        self._subject = Subject(
            model, loss, optimizer, probe_batch, forward, grad_scale, seed, distance
        )
        expect_settings(max_overhead, window, n_classes, n_samples, grad_scale)
        super().__init__()
        self._inert = _rank() > 0
        self._limit, self._wrong = max_overhead, ""
        self._order = CallOrder(list(trained(self._subject.model).values()))
        self.budget = OverheadBudget(
            max_overhead, clock=clock, reserve=_RESERVE, unseen=_UNSEEN, ahead=_AHEAD
        )
        chosen = default_probes() if probes is None else probes
        self._instruments = Instruments(chosen, self._subject, self.budget)
        self._ledger = Ledger(
            None if sink is None else as_function(sink),
            None if file is None or self._inert else RecordFile(file, self._subject.facts()),
        )
        self._losses = LossStream()
        self._pace = Pace(self.budget)
        self._watch = SpikeWatch(self._subject, self.budget, window)
        self._log = self._watch.examiner.log
        self._said = False  # that a batch is no pair
        if self._inert:
            self._watch.close()
        self._labels: LabelStream | None = None
        if n_classes is not None and n_samples is not None:
            self._labels = LabelStream(LabelNoiseScorer(n_samples, n_classes), self.budget)
        self._kept = 0  # losses since the last clocked step
        self._seen = 0  # steps up to the last clocked one
        self._next = 0  # step up to which nothing at all is done
        # To score labels of, until the next look.
        self._batches = 0 if self._labels is None else 1
        self._step = 0
        self._awaiting: tuple[int, str] | None = None

    def step(
        self,
        loss_value: Tensor | float,
        batch: Any = None,
        ids: Tensor | Sequence[int] | None = None,
        logits: Tensor | None = None,
    ) -> None:
        """Take an optimizer step: after `backward` and before `optimizer.step()`.

        With gradient accumulation, call it once per optimizer step.

        Args:
            loss_value: Loss of the batch, not multiplied by a loss scale.
            batch: The batch (inputs, targets); needed by probes on mini-batches, and for a
                probe batch if none was given. Of anything else it is said once what to pass.
            ids: Positions of the batch's examples in the training set; named in events.
            logits: Outputs of the batch, for label noise; they are copied.

        Raises:
            TypeError: A loss that is no number.
            ValueError: A loss of several numbers. The step does not count then.
        """
        step = self._step
        if step < self._next and (logits is None or not self._batches):
            self._step = step + 1
            return
        if self._inert:
            return
        if self._process != self._forks:
            self._disown()
            return
        pace = self._pace
        labels = self._labels if logits is not None and self._batches > 0 else None
        light = step < pace.until and self._awaiting is None
        if light and labels is not None:
            light = labels.has_room(logits, batch, ids)
        loss = -math.inf
        if not light:
            expect_loss(loss_value)
        elif not step % pace.every:
            loss = self._losses.push(step, loss_value, self._subject.rate(), ids)
            self._kept += 1
        self._step = step + 1
        self._log.step = step  # it is a step like any other for the log
        if light:
            if labels is not None:
                self._batches -= 1
                labels.keep(logits, batch, ids)
            if loss <= self._watch.alarm:
                if pace.every > 1:
                    self._rest(step)
                return
        self._enter(step + light)
        try:
            if not light:
                self._losses.push(step, loss_value, self._subject.rate(), ids)
                host = self.budget.spent
                self._subject.synchronize()
                pace.pushed(self.budget.spent, host)
            pair = self._pair(batch)
            if self._awaiting is not None:
                self._follow_up(pair)
            if labels is not None and logits is not None and not light:
                self._batches -= 1
                given = None if pair is None else pair[1]
                self._score(lambda: labels.take(logits, given, ids))
            if light or step >= pace.until:
                self._look(step, pair)
        except Exception as problem:  # whatever it is, it is not worth the user's run
            if self._ledger.refused or isinstance(problem, Warning):
                raise
            self._give_up(problem)
        finally:
            self._leave()

    def epoch_end(self) -> None:
        """Close an epoch: update the label-noise signal."""
        labels = self._labels
        if self._inert or labels is None or not self._own or not labels.covered:
            return
        self._enter(self._step)
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
        """Own time as a fraction of training time, so far.

        Steps since the last look count as long as those before, as their time is not read.
        """
        steps, clocked = self._step - self._seen, self._seen - 1  # from one to the next
        return self.budget.overhead_by_now(steps, clocked, self._pace.books(steps, self._kept))

    @property
    def probes(self) -> dict[str, Probe]:
        """The probes still in use, by name; one that raises is dropped, with one warning."""
        return self._instruments.probes

    @property
    def label_noise(self) -> LabelNoiseScorer | None:
        """The label scorer with everything seen so far, or `None`."""
        self._flush_labels()
        return None if self._labels is None else self._labels.scorer

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def status(self) -> list[ProbeStatus]:
        """How each probe fares: why it is silent, how often it measured, its cost, when next."""
        return self._instruments.status()

    def summary(self) -> str:
        """The same as a table, with the last value of each, after a line about the run."""
        self._observe(wait=True)
        return as_text(self._facts(), self.status(), self.record, self.events)

    def to_dict(self) -> dict[str, Any]:
        """The run so far as plain data: facts, probes, events, and everything measured."""
        self._observe(wait=True)
        return as_document(self._facts(), self.status(), self.record, self.events)

    def report(self, path: os.PathLike[str] | str) -> Path:
        """One offline HTML page of the run so far; returns its path."""
        return RunDocument(self.to_dict()).report(path)

    def __repr__(self) -> str:
        return in_a_line(self._facts(), self.status())

    def _repr_html_(self) -> str:
        self._observe(wait=True)
        return as_html(self._facts(), self.status(), self.record, self.events)

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly, in tensors and plain data.

        It holds one copy of the parameters, those the monitor was made with, and none with
        ``distance=False``. The direction of the sharpness is kept as a change of the outputs.
        """
        self._observe(wait=True)
        self._flush_labels()
        if self._awaiting is not None and self._own:
            step, name = self._awaiting
            values = self._instruments.early(name)
            if values:
                self._awaiting = None
                self._publish(step, values)
        return {
            "step": self._step,
            "initial": dict(self._subject.initial),
            "shapes": self._subject.shapes(),
            "probe_batch": self._subject.probe_batch,
            "record": self.record.state_dict(),
            "budget": self.budget.state_dict(),
            "watch": self._watch.state_dict(),
            "labels": None if self._labels is None else self._labels.state_dict(),
            "instruments": self._instruments.state_dict(),
            "awaiting": None,
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
        own, saved = self._subject.initial, self._subject.renamed(state["initial"])
        shapes = state.get("shapes") or {name: list(w.shape) for name, w in saved.items()}
        shapes = self._subject.renamed(shapes)
        where = "Monitor.load_state_dict(state)"
        expect(
            shapes == self._subject.shapes(), where, "a state of a model with the same parameters",
            f"{len(shapes)} of other names or shapes",
        )  # fmt: skip
        expect(
            saved or not own, where, "a state with the parameters at the start", "one without them",
            hint="it is of a monitor with distance=False: make this one so.",
        )  # fmt: skip
        self._step = self._seen = state["step"]
        self._next = 0
        known = {name: saved.get(name, w) for name, w in own.items()}  # none of what was frozen
        self._subject.initial = {name: known[name].to(w).clone() for name, w in own.items()}
        self._subject.go_on_with(on_device(state["probe_batch"], self._subject.device))
        self.record.load_state_dict(state["record"])
        self._ledger.resume(self._step)
        self._instruments.load_state_dict(state["instruments"])
        self.budget.load_state_dict(state["budget"])
        self._watch.load_state_dict(state["watch"])
        if self._labels is not None and state["labels"] is not None:
            self._labels.load_state_dict(state["labels"])
        self._awaiting = state["awaiting"]
        self._batches = 0 if self._labels is None else state["batches"]
        self._pace.every, self._pace.until = state["pace"]

    def _enter(self, steps: int) -> None:
        """Training stops here, after so many steps.

        What it has queued is its own: no clock must find it inside.
        """
        self._subject.synchronize()
        self._pace.light = steps - self._seen
        aside = 0.0 if self._labels is None else self._labels.unclocked()
        self._pace.enter(self._kept, aside)
        logged = self._log.spent()
        self.budget.aside(logged)
        self.budget.book(logged)  # it is no part of the books, which decide when to look again
        self._kept = 0

    def _leave(self) -> None:
        """Training goes on from here, and with nothing of the monitor's still queued."""
        self._ledger.deliver(max(self._step - 1, 0))
        self._subject.forget_step()
        self._seen = self._step
        self._rest(self._step - 1)
        self._subject.synchronize()
        self.budget.leave()

    def _rest(self, step: int) -> None:
        """Let the steps after this one pass of which nothing is kept.

        A log of the optimizer's steps has to know the number of each.
        """
        every, until = self._pace.every, self._pace.until
        busy = self._inert or self._awaiting or self._log.detail
        self._next = 0 if busy else min(step - step % every + every, until)

    def _observe(self, *, wait: bool = False) -> None:
        """Take the losses that have arrived."""
        if not self._own or self._wrong:
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

    def _pair(self, batch: Any) -> Batch | None:
        """The batch as inputs and targets; none, and one warning, where it is something else."""
        pair, wrong = as_pair(batch)
        none = "" if pair is not None else "none was passed to Monitor.step"
        self._instruments.no_batch = wrong or none
        if wrong and not self._said and not isinstance(batch, NoBatch):
            self._said = True
            warnings.warn(
                f"the monitor measures nothing on batches: {wrong}",
                RuntimeWarning,
                stacklevel=user_level(),
            )
        return pair

    def _give_up(self, problem: Exception) -> None:
        """Keep what there is, and do no more."""
        self._inert, self._wrong = True, f"{type(problem).__name__}: {problem}"
        warnings.warn(
            f"the monitor is switched off after {self._wrong}",
            RuntimeWarning,
            stacklevel=user_level(),
        )

    def _facts(self) -> Facts:
        """What is watched, and how far it has come."""
        clocked = self._seen - 1  # from one step to the next
        return Facts(
            **self._subject.facts(), steps=self._step, overhead=self.overhead,
            limit=self._limit, trouble=self._wrong,
            step_seconds=self.budget.training / clocked if clocked > 0 else math.nan,
        )  # fmt: skip

    def _look(self, step: int, batch: Batch | None) -> None:
        """Take stock, and run the probes that are wanted or due, and covered."""
        start, booked = self.budget.spent, self.budget.booked
        self._observe()
        self._order.look()
        self._subject.keep_probe_batch(batch, masked=math.isfinite(self.record.last("loss")))
        self._ledger.events(self._watch.attend(step, batch))
        step_seconds = self.budget.training / max(step, 1)
        if not self._instruments.enlisted:
            if self.budget.training == 0 and not math.isinf(self.budget.max_overhead):
                return  # nothing is known yet about how long a step takes
            self._instruments.enlist(step_seconds)
        self._instruments.paced(step_seconds)
        self.budget.paced(step_seconds)
        if math.isfinite(self.record.last("loss")):
            for kind in sorted(self._watch.wanted, key=lambda kind: kind.value):
                name = self._instruments.of_kind(kind)
                if name is not None and self.budget.may_borrow(name):
                    self._measure(name, step, batch, urgent=True)
            lacking = self._instruments.lacking(batch)
            while (name := self.budget.due(step, lacking)) is not None:
                if name == TRIAL:
                    self._instruments.admit(batch)
                    self._learn(self._instruments.quadratic)
                else:
                    self._measure(name, step, batch, urgent=False)
        labels, budget = self._labels, self.budget
        took = budget.spent - start - (budget.booked - booked)
        books = budget.own - booked - (0.0 if labels is None else labels.spent)
        self._pace.looked(step, took, books, hurry=self._watch.under_way)
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
            self._learn(probe.quadratic)
            self._publish(step, values)
            self._ledger.events(self._watch.note({**values, **self._ledger.now()}))
            self._ledger.rising(self._watch.pending())
        self._subject.synchronize()
        seconds, calm = self.budget.clock() - start, not self._watch.rising
        self._instruments.ran(name, step, seconds, urgent=urgent, calm=calm)

    def _learn(self, quadratic: bool | None) -> None:
        """Of no other loss than a squared error it is asked where it lies while it rises."""
        if quadratic is not None:
            self._watch.quadratic = quadratic

    def _follow_up(self, batch: Batch | None) -> None:
        """Ask a probe for the numbers of the step before."""
        assert self._awaiting is not None
        step, name = self._awaiting
        self._awaiting = None
        start = self.budget.clock()
        self._publish(step, self._instruments.after_step(name, batch))
        self.budget.followed(name, self.budget.clock() - start)

    def _score(self, score: Callable[[], Mapping[str, float] | None]) -> Mapping[str, float]:
        """Do something about labels; if it fails, do no more."""
        values = self._instruments.guarded("label noise", score)
        if values is None:
            self._labels = None
        return values or {}

    def _flush_labels(self) -> None:
        """Score what waits; batches that the scorer refuses are no reason to end a run."""
        if self._labels is not None:
            self._score(self._labels.flush)

    def _publish(self, step: int, values: Mapping[str, float]) -> None:
        """Record numbers and hand them on."""
        if values:
            self._ledger.numbers(step, values, self.budget.overhead)


def _rank() -> int:
    """Of this process in a distributed run; 0 elsewhere."""
    group = torch.distributed
    return group.get_rank() if group.is_available() and group.is_initialized() else 0
