"""A suggested learning rate, as plain data, and the race that it comes from."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from overparam._environment import environment
from overparam._files import Name
from overparam._json import strict
from overparam._progress import Progress, telling
from overparam._random_numbers import own_random_numbers, python_numbers_kept
from overparam._statement import Concluded, Statement
from overparam._switches import thread_count
from overparam.diagnosis.comparison_statement import comparison_statements
from overparam.diagnosis.race.kept import KeptRace, key_of
from overparam.diagnosis.race.outcome import Outcome
from overparam.diagnosis.race.recipe import Recipe, threads_for
from overparam.diagnosis.race.record import sweep_of, trials_of
from overparam.diagnosis.race.run import Clock, run_race
from overparam.diagnosis.race.variant import WHOLE, Reached, Variant, planned_row, reached
from overparam.diagnosis.rate_statement import RateFindings, rate_statement
from overparam.diagnosis.task import optimizer_name
from overparam.errors import MissingPackage

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The rest of the budget is for what comes after the race.
_OF_BUDGET = 0.95


@dataclass(frozen=True, repr=False)
class SuggestedRate(Concluded):
    """A learning rate with what it rests on, as plain data.

    Attributes:
        environment: Versions, machine, seed, time taken.
        rate: To train at, for the fastest parameter group; `nan` if nothing was learned.
        interval: Where the best rate is expected, (low, high).
        verdict: ``"found"``; ``"flat"`` (rates a factor 4 apart did about as well, and the rate is
            in their middle, or the best where they may go on); ``"between"`` (two orders of batches
            disagree); ``"rough"`` (an order of magnitude); ``"nothing"`` (no rate lowered the
            loss); ``"none"`` (no comparison).
        steps: h, the optimizer steps of the trainings that were compared.
        planned_steps: Of the training that the rate is for; `None` if none was named.
        trial_steps: Steps of all trainings together.
        compared: Other optimizers and batch sizes that were asked for, each at its own
            best rate: kind, name, rate, loss, steps and trial_steps; of each kind the training
            planned comes first.
        curve: The last comparison: ``"lr"`` and ``"loss"``, lists; a loss that is infinite is that
            of a training that diverged. If ``"averaged"``, losses are means over the last quarter
            of the steps, else on the same examples at the end.
        trials: Every training: rate, order of batches, steps, loss, whether it diverged, and
            its losses.
        optimizer: Its name.
        batch_size: Examples per batch.
        stopped: ``"finished"``, ``"budget"`` or ``"interrupted"``.
        statements: The conclusion.
    """

    environment: dict[str, Any]
    rate: float
    interval: tuple[float, float]
    verdict: str
    steps: int
    planned_steps: int | None
    trial_steps: int
    curve: dict[str, Any]
    trials: list[dict[str, Any]]
    optimizer: str
    batch_size: int
    stopped: str
    compared: list[dict[str, Any]] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)

    def _statements(self) -> list[Statement]:
        return self.statements

    def __repr__(self) -> str:
        """In a line: a prompt shows it, and the losses of all trials are many."""
        low, high = self.interval
        return (
            f"<SuggestedRate: {self.rate:.3g} ({low:.3g} to {high:.3g}), {self.verdict}; "
            f"{self.optimizer}, batch size {self.batch_size}, {self.steps} steps, "
            f"{len(self.trials)} trainings; .summary() says more>"
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON knows it: a number that is not finite becomes `None`."""
        return strict({"kind": "rate", **asdict(self)})

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Loss against rate, the pick and its interval, drawn by matplotlib.

        Args:
            ax: Where to draw; `None` makes a figure.
        """
        try:
            from matplotlib import pyplot
        except ImportError as problem:
            raise MissingPackage(
                "`SuggestedRate.plot` expected the package matplotlib, got none.\n"
                "Hint: pip install matplotlib, or write a page: .report('rate.html')"
            ) from problem
        ax = ax or pyplot.subplots()[1]
        pairs = list(zip(self.curve["lr"], self.curve["loss"], strict=True))
        kept = [(rate, loss) for rate, loss in pairs if loss < float("inf")]
        lost = [rate for rate, loss in pairs if not loss < float("inf")]
        ax.plot(*zip(*kept, strict=True) if kept else ([], []), "o-")
        if lost and kept:
            top = max(loss for _, loss in kept)
            ax.plot(lost, [top] * len(lost), "x", color="tab:red", label="diverged")
        if self.rate == self.rate:
            ax.axvline(self.rate, color="tab:green", linestyle="--", label=f"{self.rate:.3g}")
            ax.axvspan(*self.interval, color="tab:green", alpha=0.12)
            ax.legend()
        ax.set_xscale("log", base=2)
        ax.set_xlabel("learning rate")
        mean = ", mean over the last quarter" if self.curve.get("averaged") else ""
        ax.set_ylabel(f"training loss after {self.steps} steps{mean}")
        return ax


def find_rate(
    recipe: Recipe,
    planned: int | None,
    *,
    budget: float,
    batch_size: int,
    told: float | None = None,
    given: float | None = None,
    longest: int | None = None,
    seed: int = 0,
    clock: Clock | None = None,
    data: str | None = None,
    command: str | None = None,
    progress: Progress = False,
    variants: Sequence[Variant] = (),
    keep: Name | None = None,
) -> SuggestedRate:
    """The rate of a recipe, by a race within a budget.

    Args:
        recipe: Of the training.
        planned: Its steps, if they are known.
        budget: Seconds, from when the clock began.
        told: The budget that statements tell of; `None` for that.
        batch_size: Examples per batch.
        given: The rate in use, to be judged.
        longest: Steps of the longest trainings that are compared.
        seed: Of the order of batches and of random layers.
        clock: Where the time comes from; its deadline is set here.
        data: A digest of the data.
        command: What to tell a reader who wants to repeat it.
        progress: As everywhere.
        keep: A file that the race for the rate is kept in.
        variants: Other ways to train, to be compared with this one in the same budget.
    """
    clock = clock or Clock()
    whole = WHOLE + sum(variant.cost for variant in variants)
    clock.deadline = clock.began + _OF_BUDGET * budget * WHOLE / whole
    kept = None
    if keep is not None:
        kept = KeptRace(keep, key_of(recipe, planned, seed, data), "suggest_lr(keep=...)")
    with (
        own_random_numbers({recipe.device}), python_numbers_kept(),
        telling(progress) as tell, thread_count() as most,
    ):  # fmt: skip
        tell("racing", 0.0)
        torch.set_num_threads(threads := threads_for(recipe, most))
        outcome = run_race(
            recipe, planned, order=seed, given=given, longest=longest, clock=clock,
            tell=partial(tell, "racing"), kept=kept,
        )  # fmt: skip
        clock.deadline = clock.began + _OF_BUDGET * budget
        rows = _compared(outcome, recipe, batch_size, variants, seed, clock, tell)
    name = optimizer_name(recipe.optimizer)
    asked = RateFindings(
        outcome=outcome, optimizer=name, batch_size=batch_size, given=given, budget=told or budget
    )
    return SuggestedRate(
        environment=environment(
            seconds=round(clock.now() - clock.began, 1), seed=seed, device=recipe.device,
            threads=threads, data=data, command=command, budget_seconds=budget,
        ),
        rate=outcome.rate, interval=outcome.interval, verdict=outcome.verdict,
        steps=outcome.horizon, planned_steps=outcome.planned, trial_steps=outcome.spent,
        curve=sweep_of(outcome), trials=trials_of(outcome), optimizer=name,
        batch_size=batch_size, stopped=rows[-1].stopped if rows else outcome.stopped,
        compared=[asdict(row) for row in rows],
        statements=[rate_statement(asked), *comparison_statements(rows)],
    )  # fmt: skip


def _compared(
    outcome: Outcome,
    recipe: Recipe,
    batch_size: int,
    variants: Sequence[Variant],
    order: int,
    clock: Clock,
    tell: Callable[[str, float], None],
) -> list[Reached]:
    """What was planned and what else was asked for, by kind; nothing if there is no rate yet."""
    if not outcome.learned or outcome.stopped == "interrupted":
        return []
    deadline, left = clock.deadline, sum(variant.cost for variant in variants)
    rows: dict[str, list[Reached]] = {}
    names = {"optimizer": optimizer_name(recipe.optimizer), "batch size": str(batch_size)}
    for done, variant in enumerate(variants):
        tell("comparing", done / len(variants))
        now = clock.now()
        clock.deadline = now + (deadline - now) * variant.cost / left
        left -= variant.cost
        own = planned_row(outcome, variant.kind, names[variant.kind])
        found = reached(variant, outcome, order=order, clock=clock)
        rows.setdefault(variant.kind, [own]).append(found)
        if found.stopped == "interrupted":
            break
    return [row for kind in rows.values() for row in kind]
