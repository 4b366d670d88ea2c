"""Gather what is known of a rise of the loss, within what it may cost."""

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from overparam._types import Batch
from overparam.dynamics.batch_form import finite
from overparam.dynamics.budget import OverheadBudget
from overparam.dynamics.catapult_counter import relative
from overparam.dynamics.probes.probe import trained
from overparam.dynamics.spikes.causes import LATER
from overparam.dynamics.spikes.early_warning import Lookout
from overparam.dynamics.spikes.evidence import Evidence, from_log, from_rates, parts_of
from overparam.dynamics.spikes.marks import Marks
from overparam.dynamics.spikes.recent import Recent, extended, nothing
from overparam.dynamics.spikes.snapshot import EVERY, Snapshot, identity
from overparam.dynamics.spikes.step_log import TRIALS, Row, StepLog
from overparam.dynamics.subject import Subject

# Part of the budget that the log of every step may take: with more, probes do not come round.
_LOGGING = 1 / 4
# Rows that are read together, while nothing happens: of one alone most of the time goes into calls.
_TOGETHER = 32
# Steps after which it is looked whether other layers are trained than were.
_FOLLOWS = 30
# A batch that shows less of a rise at earlier weights is not to blame, nor are those after it.
_CLEARED = 0.5
# Training steps that the losses at an opening take.
_OPENING = 1.5


@dataclass
class Readings:
    """Losses that were computed because the loss of a step had risen.

    Attributes:
        earlier: Of the step's batch at earlier weights.
        now: Of the same at the present ones.
        probe_earlier, probe_now: The same two of the fixed batch.
        same_batch: Whether the batch is the one before, too.
        spoiled: Whether it holds what is not finite.
        forward: The module that makes it infinite.
        later: Of the next batches at the earlier weights.
        age: Steps since those.
        usual: The loss that was usual then; in a fast descent a larger one than now.
        share: Part of the rise that the batch shows at the earlier weights, as it opened.
        missing: Why there are none, a key of `causes.MISSING`.
        traces: What else was found, fields of `Evidence`.
    """

    earlier: float = math.nan
    now: float = math.nan
    probe_earlier: float = math.nan
    probe_now: float = math.nan
    same_batch: bool | None = None
    spoiled: bool = False
    forward: str = ""
    later: tuple[float, ...] = ()
    age: int = 0
    usual: float = math.nan
    share: float = math.nan
    missing: str = ""
    traces: dict[str, Any] = field(default_factory=dict)


class Examiner:
    """A log of optimizer steps, a snapshot, and the losses that are computed with it.

    Args:
        subject: What is trained.
        budget: What it may cost.

    Attributes:
        log: Of the optimizer's steps.
        lookout: Its warnings.
        trouble: Why losses at earlier weights cannot be computed, if they cannot.
    """

    def __init__(self, subject: Subject, budget: OverheadBudget) -> None:
        self.subject, self.budget = subject, budget
        params = {} if subject.sharded else trained(subject.model)
        self.log = StepLog(params, subject.optimizer, budget.clock, subject.synchronize)
        self.lookout = Lookout()
        self.snapshot, self.marks = Snapshot(subject), Marks(self.log)
        groups = self.log.optimizer.param_groups
        names = self.log.names
        self.parts = parts_of(names, self.log.params, groups)
        self._recent = nothing(len(names), len(groups))
        self._last: Row | None = None
        self._reading = math.nan  # seconds that reading a row takes
        # The batch of a step is gone once its loss has come from an accelerator.
        self._batches: deque[tuple[int, Batch]] = deque(
            maxlen=1 if subject.device.type == "cpu" else 4
        )
        self._given = False
        self._before: Tensor | None = None
        self._size, self._followed = self._members(), 0
        self.trouble = "its parameters are spread over processes" if subject.sharded else ""

    def attend(self, step: int, batch: Batch | None, *, calm: bool) -> None:
        """Once at every look: read the log, and renew the snapshot while the loss is calm."""
        self._given = batch is not None
        if batch is not None:
            if calm and self._batches:
                self._before = identity(self._batches[-1][1])
            self._batches.append((step, batch))
        if len(self.log.rows) >= (_TOGETHER if calm else 1):
            start = self.budget.clock()
            self._tried(self.read)
            self.budget.book(self.budget.clock() - start)
        self._choose_detail(step)
        made = self.snapshot.step
        if calm and (made is None or step - made >= EVERY):
            self._booked(lambda: self.snapshot.take(step))
        if calm and self._marks(step):
            self._booked(lambda: self.marks.take(step))
        if self._size != (size := self._members()) or step - self._followed >= _FOLLOWS:
            self._size, self._followed = size, step
            self._booked(self._follow)

    def _marks(self, step: int) -> bool:
        """Whether a mark is due: where each step is logged, none is."""
        limit = self.budget.max_overhead
        if math.isinf(limit) or self.log.detail > 1 or len(self.log.costs[2]) < TRIALS:
            return False
        return self.marks.due(step, limit * self.budget.training / max(step, 1))

    def read(self) -> None:
        """Turn the rows of the log into columns."""
        rows = self.log.taken()
        if not rows:
            return
        start = self.budget.clock()
        self._recent = extended(self._recent, rows, self._last, self.log.sample)
        self._last = rows[-1]
        self.lookout.look(self._recent, min(len(rows), len(self._recent)), self.parts)
        took = (self.budget.clock() - start) / len(rows)
        self._reading = took if math.isnan(self._reading) else min(took, 2 * self._reading)

    def catch_up(self) -> None:
        """Read what waits to be read with more."""
        self._tried(self.read)

    def _members(self) -> int:
        """How many parameters the optimizer has."""
        return sum(len(group["params"]) for group in self.log.optimizer.param_groups)

    def _follow(self) -> None:
        """Go along with layers that were unfrozen since, and with groups that were added."""
        params = {} if self.subject.sharded else trained(self.subject.model)
        self.subject.keep_start(params)
        if not self.log.others(params):
            return
        self.read()
        before, groups = self.log.names, self.log.optimizer.param_groups
        self.log.follow(params)
        self.parts = parts_of(self.log.names, self.log.params, groups)
        self._recent = self._recent.over(before, self.log.names, len(groups))
        self._last = None
        self.lookout.forget()

    def open(
        self,
        step: int,
        now: int,
        losses: Mapping[int, float],
        level: float,
        first: float,
        *,
        afforded: bool = True,
    ) -> Readings | None:
        """Compute the losses that tell data from weights; `None` if that fails.

        Args:
            step: Of the opening.
            now: The present one.
            losses: Of the last steps.
            level: What was normal.
            first: The run's first loss.
            afforded: Whether there is time for more than a look at what is there.
        """
        traces = self._borrowed(lambda: self._traces(step, now, losses)) or {}
        batch = next((b for at, b in self._batches if at == step), None)
        missing = "look" if self._given else "batch"
        if batch is not None:
            missing = "time" if self.subject.knows_loss else "loss"
        if not afforded:
            missing = "time"
        if not (afforded and self.subject.knows_loss and self._affordable(now)):
            return Readings(missing=missing, traces=traces)
        found: Readings | None = self._borrowed(lambda: self._readings(batch, present=step == now))
        made = self.snapshot.step
        if found is not None and made is not None:
            near = [losses[at] for at in range(made - 3, made + 3) if at in losses]
            found.age, found.usual = step - made, median(near) if len(near) > 2 else math.nan
            over = partial(relative, first=first)
            compared = _compared(found, losses.get(step, math.nan), level, over)
            found.share = compared["share"]
        if found is not None:
            found.traces, found.missing = traces, missing if batch is None else ""
        return found

    def _traces(self, step: int, now: int, losses: Mapping[int, float]) -> dict[str, Any]:
        """What the rise has come with, where steps are not logged."""
        found = self.marks.since(step, now, self.parts, self.subject.scale())
        lost = not math.isfinite(losses.get(step, math.nan))
        if lost and not math.isinf(self.budget.max_overhead):
            found["infinite"] = self._infinite()
        return found

    def _infinite(self) -> tuple[str, ...]:
        """Layers whose weights are not finite."""
        ends = [torch.stack(torch.aminmax(p.detach())) for p in self.log.params]
        sound = [bool(found) for found in torch.stack(ends).isfinite().all(1)] if ends else []
        return self.parts.named(~np.array(sound, dtype=bool))

    def later(self, readings: Readings, batch: Batch | None) -> Readings:
        """Take one of the next batches."""
        if (
            batch is None
            or readings.missing
            or len(readings.later) >= LATER
            or readings.share < _CLEARED
            or self.snapshot.step is None
        ):
            return readings
        loss = self._borrowed(lambda: self.snapshot.earlier(batch))
        if loss is None:
            return readings
        return replace(readings, later=(*readings.later, loss))

    def evidence(
        self,
        step: int,
        losses: Mapping[int, float],
        rates: Mapping[int, float],
        level: float,
        first: float,
        readings: Readings | None,
    ) -> Evidence:
        """Everything that is known of a rise at a step.

        Args:
            step: Of its opening.
            losses: Of the last steps.
            rates: Likewise, the largest of the groups.
            level: What was normal.
            first: The run's first loss.
            readings: What `open` gave.
        """
        loss = losses.get(step, math.nan)
        before = [losses[at] for at in range(step - 3, step) if at in losses]
        over = partial(relative, first=first)
        known: dict[str, Any] = {
            "rise": over(loss, level),
            "finite": math.isfinite(loss),
            "earlier": over(max(before, default=math.nan), level),
            "below": level <= 0,
        }
        self.catch_up()
        relatively = {at: over(value, level) for at, value in losses.items()}
        logged = self._tried(lambda: from_log(self._recent, self.parts, step, relatively))
        known |= (logged or {}) | {"trouble": self.trouble or self.log.trouble}
        if not math.isinf(self.budget.max_overhead):
            known |= self._unlogged(step, rates, known, {} if readings is None else readings.traces)
        if readings is not None:
            known |= _compared(readings, loss, level, over)
        return Evidence(**known)

    def _unlogged(
        self,
        step: int,
        rates: Mapping[int, float],
        known: Mapping[str, Any],
        traces: Mapping[str, Any],
    ) -> dict[str, Any]:
        """What marks say where the log does not."""
        found = {"alike_loss": known["earlier"], **traces}
        if not self._recent.between(step - 3, step - 1):
            return from_rates(rates, step) | found
        # Logged were weights and moments at least; of gradients only what is not known.
        logged = ("changed", "lost", "jumped", "climbing")
        found = {key: value for key, value in found.items() if key not in logged}
        if not math.isnan(known.get("alike", math.nan)):
            return {}
        if known.get("changed") or known.get("lost"):
            found["untouched"] = False
        return found

    def close(self) -> None:
        """Leave the optimizer alone."""
        self.log.close()

    def state_dict(self) -> dict[str, Any]:
        """The log as far as it is read, and its warnings; snapshot and batches are not kept."""
        self.catch_up()
        columns = {name: torch.from_numpy(c.copy()) for name, c in vars(self._recent).items()}
        return {"recent": columns, "lookout": self.lookout.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        saved = Recent(**{name: c.cpu().numpy() for name, c in state["recent"].items()})
        if saved.weights.shape[1] == len(self.log.names):  # else other layers were unfrozen then
            self._recent = saved
        self.lookout.load_state_dict(state["lookout"])
        self.marks.forget()
        self._last = None

    def _readings(self, batch: Batch | None, *, present: bool) -> Readings:
        found = Readings()
        if batch is not None:
            found.spoiled = not finite(batch)
            before, these = self._before, identity(batch)
            if before is not None and these is not None:
                found.same_batch = before.shape == these.shape and torch.equal(before, these)
            found.earlier, now = self.snapshot.losses(batch)
            found.now = now if present else math.nan
            if not math.isfinite(now) and not found.spoiled:
                found.forward = self.snapshot.born_in(batch)
        probe = self.subject.probe_batch
        if probe is not None:
            found.probe_earlier, found.probe_now = self.snapshot.losses(probe)
        return found

    def _booked(self, work: Callable[[], Any]) -> Any:
        """Do it on the account, unless something of the kind has failed."""
        if self.trouble:
            return None
        start = self.budget.clock()
        try:
            return self._tried(work)
        finally:
            self.budget.book(self.budget.clock() - start)

    def _borrowed(self, work: Callable[[], Any]) -> Any:
        """The same for what cannot wait."""
        booked = self.budget.booked
        found = self._booked(work)
        self.budget.borrow(self.budget.booked - booked)
        return found

    def _tried(self, work: Callable[[], Any]) -> Any:
        """Do it; a failure must not end a training, and is told with the next spike."""
        try:
            return work()
        except Exception as problem:
            self.trouble = f"{type(problem).__name__}: {problem}"
            self.snapshot.forget()
            return None

    def _affordable(self, step: int) -> bool:
        limit, training = self.budget.max_overhead, self.budget.training
        if math.isinf(limit):
            return True
        return self.budget.credit + limit * training >= _OPENING * training / max(step, 1)

    def _choose_detail(self, step: int) -> None:
        """As much as its part of the budget covers."""
        limit, costs = self.budget.max_overhead, self.log.costs
        if math.isinf(limit):
            self.log.choose(2)
        if math.isinf(limit) or len(costs[2]) < TRIALS:
            return
        granted = _LOGGING * limit * self.budget.training / max(step, 1)
        reading = 0.0 if math.isnan(self._reading) else self._reading
        # The first calls are cold.
        full = min(costs[2]) + reading
        least = min(costs[1], default=full / 2) + reading / 2
        self.log.choose(2 if full <= granted else 1 if least <= granted else 0)


def _compared(
    readings: Readings, loss: float, level: float, over: Callable[[float, float], float]
) -> dict[str, Any]:
    """What the losses say, in ratios."""
    foreign = loss / readings.now if readings.now > 0 else math.nan
    # The loss of the step may count more than the loss function does, in proportion.
    scale = 1.0 if math.isnan(foreign) or foreign > 1.3 else foreign
    usual = readings.usual if readings.usual > level else level
    share = math.nan
    if math.isfinite(loss) and loss > level:
        share = (over(scale * readings.earlier, usual) - 1) / (over(loss, level) - 1)
    before, now = readings.probe_earlier, readings.probe_now
    return {
        "share": share,
        "age": readings.age,
        "foreign": foreign,
        "same_batch": readings.same_batch,
        "spoiled": readings.spoiled,
        "forward": readings.forward,
        "probe": over(now, before),
        "later": tuple(over(scale * value, usual) for value in readings.later),
        "unread": readings.missing,
    }
