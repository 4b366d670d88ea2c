"""The probes of a monitor: run without leaving a trace, and dropped when they fail."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from overparam._batch import on_device
from overparam._errors import expect
from overparam._memory import available
from overparam._types import Batch
from overparam._user_line import user_level
from overparam.dynamics.budget import OverheadBudget
from overparam.dynamics.portion import Portion
from overparam.dynamics.probes.probe import Kind, Probe, Scene
from overparam.dynamics.subject import Subject
from overparam.dynamics.trial import Trial
from overparam.errors import NumericalError

# What a probe may need of a scene: what is not always there.
NEEDS = ("probe", "batch")
# The trial of model, loss and batch, and seconds it takes beside a forward pass.
TRIAL, _TRIAL_SECONDS = "trial", 2e-3
# A probe of a run with short steps need not come round more often than this, in seconds.
_SOON = 1.0
# Part of a first measurement that the next is expected to take.
_COLD = 1 / 2
# Training steps that the cheapest probe takes.
_NOTHING = 1e-6


@dataclass(frozen=True)
class ProbeStatus:
    """How a probe fares.

    Attributes:
        name: The probe's.
        status: "measures", or why it does not.
        times: How often it gave numbers.
        seconds: What a measurement costs; `nan` if that is not known.
        part: How much of its work it is asked for.
        due: Steps until its next measurement, about; `nan` if it is not to be expected.
        keys: What it measures.
        lacks: Which of these no measurement has given so far, and why; empty if all have come.
    """

    name: str
    status: str
    times: int
    seconds: float
    part: float
    due: float
    keys: tuple[str, ...] = ()
    lacks: str = ""


class Instruments:
    """Probes by name, each entered in the account of time.

    Args:
        probes: What to measure with.
        subject: What is measured.
        budget: The account of time.

    Attributes:
        probes: Those still in use.
        enlisted: Whether the account knows them.
        no_batch: Why the last step brought no batch to measure on; empty if it did.
    """

    def __init__(self, probes: Sequence[Probe], subject: Subject, budget: OverheadBudget) -> None:
        self.subject, self.budget = subject, budget
        self.probes = {probe.name: probe for probe in probes}
        for probe in self.probes.values():
            # A probe that were due again at once would be measured for ever.
            where = f"Monitor(probes=...), {probe.name!r}"
            expect(probe.every >= 1, where, "every ≥ 1 steps", f"every={probe.every}")
            expect(probe.share > 0, where, "a share > 0 of the budget", f"share={probe.share}")
            _expect_declared(probe, where)
        self.enlisted = False
        self._finite: set[str] = set()  # probes that have given numbers
        self._times = dict.fromkeys(self.probes, 0)
        self._keys = {name: tuple(probe.keys) for name, probe in self.probes.items()}
        self._came: dict[str, set[str]] = {name: set() for name in self.probes}  # of the keys
        self._silent: dict[str, str] = {}  # why a probe says nothing
        self.no_batch = "none has come yet"
        self._portions = {name: Portion() for name in self.probes}
        self._step_seconds = math.nan
        self._next_time = 1.0
        self._guesses: dict[str, float] = {}  # of probes that have not been measured
        self._dearer: list[float] = []  # what first measurements took, as a multiple of that
        self._trial = Trial(subject, budget.clock)
        if any(probe.needs for probe in self.probes.values()):
            # Whoever asks loads what it asks with: a tenth of a second, once in a process, which
            # would otherwise fall into a training step.
            available(subject.device)
        if subject.sharded and self.probes:
            self._silent = dict.fromkeys(self.probes, "parameters that are sharded over processes")
            self.probes = {}
            warnings.warn(
                "the monitor keeps only loss and learning rate of a model whose parameters are "
                "sharded over processes",
                RuntimeWarning,
                stacklevel=user_level(),
            )

    def enlist(self, step_seconds: float) -> None:
        """Enter in the account what needs no batch, and the trial that the rest has to wait for."""
        self._step_seconds = step_seconds
        self._enter([probe for probe in self.probes.values() if not probe.needs], None)
        if any(probe.needs for probe in self.probes.values()):
            passes = 0.5 if self.subject.knows_loss else 1.5
            cost = passes * step_seconds + _TRIAL_SECONDS
            # It is of two examples, as a rule, and then takes far less than a pass of a batch.
            self.budget.add(TRIAL, cost=cost, share=3.0, within=1, cold=1.0)
        self.enlisted = True

    @property
    def quadratic(self) -> bool | None:
        """Whether the loss is a squared error, as far as the trial has told."""
        return self._trial.quadratic

    def admit(self, batch: Batch | None) -> None:
        """Try model, loss and batch, and enter the rest: what can be measured on batches."""
        start = self.budget.clock()
        self._enter([probe for probe in self.probes.values() if probe.needs], batch)
        self.budget.remove(TRIAL)
        self.budget.booked += self.budget.clock() - start

    def _enter(self, probes: Sequence[Probe], batch: Batch | None) -> None:
        """Enter probes in the account, at costs guessed from the time of a step."""
        fit = [probe for probe in probes if self._suits(probe, batch, early=True)]
        costs = {probe.name: self._cost(probe, batch) for probe in fit}
        for probe in fit:
            self.budget.add(
                probe.name, cost=costs[probe.name](1.0), share=probe.share, every=probe.every,
                within=probe.within, beside=probe.beside,
            )  # fmt: skip
        if not math.isinf(self.budget.max_overhead):
            for probe in fit:  # what is allowed depends on how many there are
                self._guess(probe, costs[probe.name])

    def _guess(self, probe: Probe, cost: Callable[[float], float]) -> None:
        """Choose the part that it begins with, by what it is expected to take."""
        scale = median(self._dearer) if self._dearer else 1.0
        portion = self._portions[probe.name]
        guessed = portion.guess(lambda part: scale * cost(part), self._allowed(probe))
        self._guesses[probe.name] = guessed / scale
        self.budget.expect_cost(probe.name, guessed)

    def _compare(self, name: str, seconds: float) -> None:
        """Expect of those that have not been measured what the first ones have taken."""
        guessed = self._guesses.pop(name, 0.0)
        if not self.probes[name].needs or not (guessed > 0 and seconds > 0):
            return  # of a clock too coarse for it nothing is learned
        self._dearer.append(seconds / guessed)
        for other in [n for n in self._guesses if n in self.probes and n not in self._silent]:
            if self.probes[other].needs:
                self._guess(self.probes[other], self._cost(self.probes[other], None))

    def _cost(self, probe: Probe, batch: Batch | None) -> Callable[[float], float]:
        """Seconds that a part of its work is expected to take."""
        beside = self._beside(probe)

        def seconds(part: float) -> float:
            scene = self.subject.scene(batch, part=part, beside=beside)
            return self._step_seconds * max(probe.relative_cost(scene), _NOTHING)

        return seconds

    def _beside(self, probe: Probe) -> bool:
        """Whether it is run after another whose work it can use."""
        return probe.beside in self.probes and probe.beside not in self._silent

    def paced(self, step_seconds: float) -> None:
        """Take note of how long a step of training takes now."""
        self._step_seconds = step_seconds

    def measure(self, name: str, batch: Batch | None, *, urgent: bool) -> Mapping[str, float]:
        """A probe's numbers; none where it fails, with one warning, or has nothing to say."""
        probe, portion = self.probes[name], self._portions[name]
        beside = self._beside(probe)
        scene = self.subject.scene(batch, urgent=urgent, part=portion.part, beside=beside)
        if not self._suits(probe, batch, scene):
            return {}
        if probe.needs:  # by now more may be known of model and batch
            scene = self.subject.scene(batch, urgent=urgent, part=portion.part, beside=beside)
        guess = probe.relative_cost(scene)
        values = self.guarded(name, lambda: self._isolated(probe, scene)) or {}
        # What is done once in a run is no part of the next; nor is what is cold, about half.
        self._next_time = min(probe.relative_cost(scene) / guess, 1.0) if guess > 0 else 1.0
        if not self._times[name]:
            self._next_time = min(self._next_time, _COLD)
        self._times[name] += bool(values)
        self._note(name, values)
        if not values:  # it may have found out that it never will give any
            self._suits(probe, batch)
        return values

    def ran(self, name: str, step: int, seconds: float, *, urgent: bool, calm: bool) -> None:
        """Book what a measurement took; ask for less of the next if that is too much.

        Args:
            name: The probe.
            step: The present one.
            seconds: What it took.
            urgent: It was asked to be exact, which costs more.
            calm: No spike is under way, in which numbers before and after must be comparable.
        """
        if name not in self.probes or name in self._silent:
            self.budget.booked += seconds
            return
        self.budget.ran(name, step, seconds, usual=not urgent, next_time=self._next_time)
        self._compare(name, seconds)
        if calm and not urgent and not math.isinf(self.budget.max_overhead):
            probe = self.probes[name]
            cost = self._portions[name].ran(seconds, self._allowed(probe), self._cost(probe, None))
            if cost is not None:
                self.budget.expect_cost(name, cost)

    def lacking(self, batch: Batch | None) -> set[str]:
        """The probes that cannot run at this step, for want of what they need."""
        absent = {"probe": self.subject.probe_batch is None, "batch": batch is None}
        if not any(absent.values()):
            return set()
        found = {n for n, probe in self.probes.items() if any(absent[need] for need in probe.needs)}
        return found | ({TRIAL} if absent["probe"] else set())

    def of_kind(self, kind: Kind) -> str | None:
        """The name of a probe that finds this out; `None` without one."""
        return next(
            (n for n, probe in self.probes.items() if probe.kind is kind and n not in self._silent),
            None,
        )

    def after_step(self, name: str, batch: Batch | None) -> Mapping[str, float]:
        """What a probe can only say one step later."""
        if name not in self.probes:
            return {}
        scene = self.subject.scene(batch)
        values = self.guarded(name, lambda: self.probes[name].after_step(scene)) or {}
        self._note(name, values)
        return values

    def early(self, name: str) -> Mapping[str, float]:
        """The same before a state is saved, if it is known by now."""
        if name not in self.probes:
            return {}
        scene = self.subject.scene(None)
        values = self.guarded(name, lambda: self.probes[name].early(scene)) or {}
        self._note(name, values)
        return values

    def _note(self, name: str, values: Mapping[str, float]) -> None:
        """Take note of the columns that it has filled."""
        self._came[name].update(key for key, value in values.items() if value == value)

    def guarded(
        self, name: str, measure: Callable[[], Mapping[str, float] | None]
    ) -> Mapping[str, float] | None:
        """Numbers, perhaps none; `None` and one warning where it fails, for the last time.

        Numbers that were finite once and overflow are no failure: the run diverges, as its loss
        says, and may come back.
        """
        try:
            numbers = measure() or {}
            if numbers:
                self._finite.add(name)
            return numbers
        except Exception as problem:
            if isinstance(problem, NumericalError) and name in self._finite:
                return {}
            self.probes.pop(name, None)
            self.budget.remove(name)
            self._silent[name] = f"switched off after {type(problem).__name__}: {problem}"
            warnings.warn(
                f"the monitor's {name!r} is switched off after {type(problem).__name__}: {problem}",
                RuntimeWarning,
                stacklevel=user_level(),
            )
            return None

    def status(self) -> list[ProbeStatus]:
        """All probes, in the order given, those that are out of use included."""
        return [self._status_of(name) for name in self._times]

    def _status_of(self, name: str) -> ProbeStatus:
        part, times, keys = self._portions[name].part, self._times[name], self._keys[name]
        if name in self._silent:
            return ProbeStatus(name, self._silent[name], times, math.nan, part, math.nan, keys)
        probe, why = self.probes[name], "" if times else self.probes[name].waiting
        absent = {"probe": self.subject.probe_batch is None, "batch": bool(self.no_batch)}
        if not times and not why and any(absent[need] for need in probe.needs):
            waits = _with("waits for a batch", self.no_batch)
            return ProbeStatus(name, waits, 0, math.nan, part, math.nan, keys)
        if not times:
            status = _with("not yet measured", why or self._turn())
            return ProbeStatus(name, status, 0, math.nan, part, self._due(name), keys)
        absent = [key for key in keys if key not in self._came[name]]
        why = probe.lacking(absent) if absent else ""
        lacks = _with(", ".join(absent), why or f"not in {times} measurements")
        return ProbeStatus(
            name, "measures", times, self.budget.cost(name), part, self._due(name), keys,
            lacks if absent else "",
        )  # fmt: skip

    def _turn(self) -> str:
        """Why a probe has not been run that could be."""
        if not self.enlisted:
            return "no step of training has been timed yet"
        return "max_overhead does not cover it yet"

    def _due(self, name: str) -> float:
        """Steps until there is time for it, one at least; `nan` before anything is known."""
        if not self.enlisted:
            return math.nan
        wait = self.budget.wait(name)
        if math.isnan(wait):  # the trial comes first
            return math.nan
        if wait and not self._step_seconds:  # a clock that has not moved
            return math.nan
        return max(math.ceil(wait / self._step_seconds), self.probes[name].every) if wait else 1.0

    def _suits(
        self, probe: Probe, batch: Batch | None, scene: Scene | None = None, *, early: bool = False
    ) -> bool:
        """Whether a probe can be run now; one that never can is left out, and gets no time."""
        if probe.name in self._silent:
            return False
        if probe.name in self.lacking(batch):
            return early  # it may come later
        if probe.needs:
            self._trial.of(self.subject.probe_batch or batch)
            self.subject.outputs = self._trial.outputs
            self.subject.quadratic = self._trial.quadratic
            # Forward and backward are like three passes forward.
            if self._step_seconds > 0:
                self.subject.few = min(3 * self._trial.seconds / self._step_seconds, 1.0)
        if scene is None or probe.needs:
            scene = self.subject.scene(batch)
        why = (probe.needs and self._trial.why) or self._unfit(probe, scene)
        if why and probe.name in self.probes:
            self._silent[probe.name] = f"does not apply: {why}"
            self.budget.remove(probe.name)
        return not why and probe.name in self.probes

    def _unfit(self, probe: Probe, scene: Scene) -> str:
        words: list[str] = []
        self.guarded(probe.name, lambda: words.append(probe.unfit(scene)))
        return "".join(words)

    def _allowed(self, probe: Probe) -> float:
        """Seconds a measurement may take if it is to come round in time."""
        return self.budget.allowance(probe.name, max(probe.within * self._step_seconds, _SOON))

    def _isolated(self, probe: Probe, scene: Scene) -> dict[str, float]:
        """A measurement that leaves no trace."""
        if probe.passive:
            return probe.measure(scene)
        with self.subject.isolated():
            return probe.measure(scene)

    def state_dict(self) -> dict[str, Any]:
        """What the probes carry along."""
        states = {name: probe.state_dict() for name, probe in self.probes.items()}
        return {
            "probes": states,
            "enlisted": self.enlisted,
            "finite": sorted(self._finite),
            "times": dict(self._times),
            "came": {name: sorted(keys) for name, keys in self._came.items()},
            "silent": dict(self._silent),
            "portions": {name: portion.state_dict() for name, portion in self._portions.items()},
            "step seconds": self._step_seconds,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state; probes that had failed by then stay out."""
        # It may have been read onto another device than that of the run.
        saved = on_device(state["probes"], self.subject.device)
        self.probes = {name: probe for name, probe in self.probes.items() if name in saved}
        for name, probe in self.probes.items():
            probe.load_state_dict(saved[name])
        self._finite = set(state.get("finite", ()))
        known = self._times.keys()
        self._times |= {n: k for n, k in state.get("times", {}).items() if n in known}
        # An older state does not say: then all keys of a probe that has measured have come.
        came = state.get("came", {n: self._keys[n] for n in known if self._times[n]})
        for name in known & came.keys():
            self._came[name] |= set(came[name])
        self._silent = {n: why for n, why in state.get("silent", {}).items() if n in known}
        self.enlisted = False
        if state["enlisted"]:
            self.enlist(state.get("step seconds", 1.0))
            if self.subject.probe_batch is not None:
                self.admit(None)
        for name, portion in state.get("portions", {}).items():
            if name in known:
                self._portions[name].load_state_dict(portion)


def _with(status: str, why: str) -> str:
    return f"{status}: {' '.join(why.split())}" if why else status


def _expect_declared(probe: Probe, where: str) -> None:
    """Raise unless what a probe declares is what can be declared."""
    kind, needs = probe.kind, probe.needs
    known = isinstance(needs, (tuple, list)) and set(needs) <= set(NEEDS)
    words = f"needs, a tuple of none, one or both of {' and '.join(map(repr, NEEDS))}"
    expect(known, where, words, f"needs={needs!r}")
    expect(kind is None or isinstance(kind, Kind), where, "a Kind, or None", f"kind={kind!r}")
    keys = () if kind is None else kind.keys
    expect(
        set(keys) <= set(probe.keys),
        where,
        f"the keys of its kind, {' and '.join(keys)}, among others",
        f"keys={probe.keys}",
        hint="who asks for the kind reads those numbers; leave `kind` out where it has others.",
    )
