"""A claim of a paper, and the one place where its verdict is computed."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from overparam._errors import expect
from overparam.claims.statistics import select

if TYPE_CHECKING:
    import pandas as pd

SIZES = ("smoke", "quick", "full")
VERDICTS = ("reproduced", "weaker", "not reproduced", "not testable at this size")
KINDS = ("paper", "control", "identity", "ours")
# Where a bound comes from: the paper's own number; a theorem's constant or exponent; arithmetic (ε,
# n, a condition number); written down before the result was; chosen once the result was seen.
CRITERIA = ("paper", "theory", "arithmetic", "beforehand", "seen")


@dataclass(frozen=True)
class Range:
    """A closed interval of numbers; NaN is in none.

    Example:
        >>> Range(-0.6, -0.4), Range(high=0.1)
        (between -0.6 and -0.4, at most 0.1)
        >>> -0.5 in Range(-0.6, -0.4)
        True
    """

    low: float = -math.inf
    high: float = math.inf

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __repr__(self) -> str:
        if math.isinf(self.low):
            return f"at most {self.high:g}"
        if math.isinf(self.high):
            return f"at least {self.low:g}"
        return f"between {self.low:g} and {self.high:g}"


@dataclass(frozen=True)
class Moved:
    """A criterion that was changed once its result had been seen: both, and why.

    The old one goes on judging: it is the claim's `passes`, or what its `statistic` computes. Only
    where arithmetic shows that the old one could not have been right, whatever the result, does
    the new one.

    Args:
        old: What was asked first: a range, or words where another number was compared.
        new: What was asked afterwards.
        reason: Why.
        arithmetic: Whether the reason is arithmetic, which needs no result, so that the new one
            judges.

    Raises:
        ValueError: If there is no reason, or nothing was changed.
    """

    old: Range | str
    new: Range | str
    reason: str
    arithmetic: bool = False

    def __post_init__(self) -> None:
        expect(self.reason.strip(), "Moved(reason=...)", "why the criterion was changed", "none")
        expect(self.old != self.new, "Moved(old=..., new=...)", "two criteria", self.old)

    @property
    def judge(self) -> Range | str:
        """The one that gives the verdict."""
        return self.new if self.arithmetic else self.old


@dataclass(frozen=True)
class Claim:
    """A sentence that a number from the cells' results confirms or refutes.

    There is no field for a verdict: `judge` computes it. A negative control is a claim like
    any other, which says that the control fails as it must.

    Its kind says what a verdict on it means. `paper`: a published statement; only these are
    counted as reproduced. `control`: holds only if the mechanism the paper names is what acts.
    `identity`: arithmetic that guards the code. `ours`: something we say beyond the paper.

    Args:
        name: Short and unique within the study, in snake_case.
        statement: The claim as one sentence that could be false.
        paper: The paper's own value, or what its theorem gives.
        source: Where in the paper that stands.
        statistic: Maps the table of finished cells to one number. NaN, which is what NaN or
            missing cells should lead to, reproduces nothing.
        passes: Where the number must lie for "reproduced".
        tolerance: Why `passes` is where it is.
        weaker: Where it lies when the direction is right but the size is not.
        where: Selects rows by column: a value, or a list of values.
        smallest: The smallest size at which the statistic means what the statement says.
        kind: "paper", "control", "identity" or "ours".
        sentence: The sentence of the abstract or the theorem that is tested, in our words, with
            its place; a `paper` claim has one.
        criterion: Where the bound `passes` comes from, the details being in `tolerance`: "paper"
            (its own number), "theory" (a theorem's constant), "arithmetic", "beforehand"
            (fixed before the result was there) or "seen" (after); a `paper` claim says so.
        moved: The criterion as it was and as it became, if it was changed after a result.
        counted: Maps the same rows to the seeds or draws that the statistic is about, where it
            leaves some out; by default all seeds are counted.

    Raises:
        ValueError: If `weaker` does not contain `passes`, `smallest` is no size, `kind` no kind,
            a `paper` claim names no sentence or no criterion, or `passes` is not the criterion
            that judges by `moved`.

    Example:
        >>> import pandas as pd
        >>> claim = Claim(
        ...     "mean_is_one",
        ...     "The mean is 1.",
        ...     paper=1.0,
        ...     source="Table 1",
        ...     statistic=lambda rows: rows["value"].mean(),
        ...     passes=Range(0.9, 1.1),
        ...     tolerance="10 %, the paper's own spread",
        ... )
        >>> cells = pd.DataFrame({"seed": [0, 1], "value": [0.5, 0.9]})
        >>> claim.judge(cells, "quick")["verdict"]
        'not reproduced'
    """

    name: str
    statement: str
    paper: float | str
    source: str
    statistic: "Callable[[pd.DataFrame], float]"
    passes: Range
    tolerance: str
    weaker: Range | None = None
    where: Mapping[str, Any] = field(default_factory=dict)
    smallest: str = "quick"
    kind: Literal["paper", "control", "identity", "ours"] = "ours"
    sentence: str = ""
    criterion: Literal["paper", "theory", "arithmetic", "beforehand", "seen", ""] = ""
    moved: Moved | None = None
    counted: "Callable[[pd.DataFrame], int] | None" = None

    def __post_init__(self) -> None:
        where = f"Claim({self.name!r})"
        expect(self.kind in KINDS, where, f"kind out of {', '.join(KINDS)}", self.kind)
        known = ("", *CRITERIA)
        expect(self.criterion in known, where, f"criterion out of {CRITERIA}", self.criterion)
        if self.kind == "paper":
            expect(self.sentence.strip(), where, "the sentence of the paper it tests", "none")
            expect(self.criterion, where, f"criterion out of {CRITERIA}", "none")
        if self.moved is not None and isinstance(self.moved.judge, Range):
            asked = f"passes={self.moved.judge}, which `moved` says judges"
            expect(self.passes == self.moved.judge, where, asked, self.passes)
        expect(self.smallest in SIZES, where, f"smallest out of {', '.join(SIZES)}", self.smallest)
        expect(
            self.weaker is None
            or (self.passes.low in self.weaker and self.passes.high in self.weaker),
            where,
            "a `weaker` range that contains `passes`",
            f"{self.weaker} and {self.passes}",
        )

    def judge(self, table: "pd.DataFrame", size: str) -> dict[str, Any]:
        """The claim as the study's JSON states it, verdict and what it was counted on included.

        Args:
            table: One row per cell: its parameters, its `seed`, and its results.
            size: The size the cells were computed at.
        """
        rows = self._select(table)
        # Where a cell had nothing to compute with, there is no number, whatever the others say.
        absent = "absent" in rows and any(isinstance(why, str) and why for why in rows["absent"])
        measured = math.nan if absent else float(self.statistic(rows))
        return {
            "name": self.name,
            "kind": self.kind,
            "statement": self.statement,
            "sentence": self.sentence,
            "paper": self.paper,
            "source": self.source,
            "measured": measured,
            "tolerance": f"{self.passes}: {self.tolerance}",
            "criterion": self.criterion,
            "passes": [self.passes.low, self.passes.high],
            "moved": self.moved
            and {
                "old": str(self.moved.old),
                "new": str(self.moved.new),
                "reason": self.moved.reason,
                "arithmetic": self.moved.arithmetic,
            },
            "verdict": VERDICTS[-1] if absent else self._verdict(measured, size),
            "n": int(self.counted(rows)) if self.counted else len(set(rows["seed"])),
        }

    def _select(self, table: "pd.DataFrame") -> "pd.DataFrame":
        """The rows the claim is about; none at all is a mistake in the study."""
        rows = select(table, self.where)
        expect(
            len(rows),
            f"Claim({self.name!r}, where=...)",
            "a selection that some cell meets",
            dict(self.where),
        )
        return rows

    def _verdict(self, measured: float, size: str) -> str:
        """One of the four; nothing else in the library writes them."""
        if SIZES.index(size) < SIZES.index(self.smallest):
            return VERDICTS[-1]
        if measured in self.passes:
            return "reproduced"
        if self.weaker is not None and measured in self.weaker:
            return "weaker"
        return "not reproduced"
