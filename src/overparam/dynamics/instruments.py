"""The probes of a monitor: run without leaving a trace, and dropped when they fail."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from overparam._batch import on_device
from overparam._errors import expect
from overparam.dynamics.budget import OverheadBudget
from overparam.dynamics.probes.probe import Kind, Probe, Scene
from overparam.dynamics.subject import Batch, Subject
from overparam.errors import NumericalError

# What a probe may need of a scene: what is not always there.
NEEDS = ("probe", "batch")


class Instruments:
    """Probes by name, each entered in the account of time.

    Args:
        probes: What to measure with.
        subject: What is measured.
        budget: The account of time.

    Attributes:
        probes: Those still in use.
        enlisted: Whether the account knows them.
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
        if subject.sharded and self.probes:
            self.probes = {}
            warnings.warn(
                "the monitor keeps only loss and learning rate of a model whose parameters are "
                "sharded over processes",
                RuntimeWarning,
                stacklevel=4,
            )

    def enlist(self, step_seconds: float, batch: Batch | None = None) -> None:
        """Enter the probes in the account, at costs guessed from the time of a step."""
        scene = self.subject.scene(batch)
        for name, probe in self.probes.items():
            cost = probe.relative_cost(scene) * step_seconds
            self.budget.add(name, cost=cost, share=probe.share, every=probe.every)
        self.enlisted = True

    def measure(
        self,
        name: str,
        batch: Batch | None,
        *,
        urgent: bool,
    ) -> Mapping[str, float]:
        """A probe's numbers; none, and one warning, where it fails."""
        probe, scene = self.probes[name], self.subject.scene(batch, urgent=urgent)
        return self.guarded(name, lambda: self._isolated(probe, scene)) or {}

    def of_kind(self, kind: Kind) -> str | None:
        """The name of a probe that finds this out; `None` without one."""
        return next((name for name, probe in self.probes.items() if probe.kind is kind), None)

    def after_step(self, name: str, batch: Batch | None) -> Mapping[str, float]:
        """What a probe can only say one step later."""
        if name not in self.probes:
            return {}
        scene = self.subject.scene(batch)
        return self.guarded(name, lambda: self.probes[name].after_step(scene)) or {}

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
            warnings.warn(
                f"the monitor's {name!r} is switched off after {type(problem).__name__}: {problem}",
                RuntimeWarning,
                stacklevel=5,
            )
            return None

    def _isolated(self, probe: Probe, scene: Scene) -> dict[str, float]:
        """A measurement that leaves no trace; none where what it needs is not there."""
        if any(getattr(scene, need) is None for need in probe.needs):
            return {}
        if probe.passive:
            return probe.measure(scene)
        with self.subject.isolated():
            return probe.measure(scene)

    def state_dict(self) -> dict[str, Any]:
        """What the probes carry along."""
        states = {name: probe.state_dict() for name, probe in self.probes.items()}
        return {"probes": states, "enlisted": self.enlisted, "finite": sorted(self._finite)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state; probes that had failed by then stay out."""
        # It may have been read onto another device than that of the run.
        saved = on_device(state["probes"], self.subject.device)
        self.probes = {name: probe for name, probe in self.probes.items() if name in saved}
        for name, probe in self.probes.items():
            probe.load_state_dict(saved[name])
        self._finite = set(state.get("finite", ()))
        self.enlisted = False
        if state["enlisted"]:
            self.enlist(1.0)


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
