"""What a column was taken for: plain data, learned from some rows and kept with a model."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from overparam._errors import expect, unknown
from overparam._json import is_json_number, is_json_text

Kind = Literal["number", "date", "yes/no", "category", "text", "identifier", "constant"]
KINDS: tuple[str, ...] = get_args(Kind)
NUMERIC = ("number", "date", "yes/no")
LEFT_OUT = ("text", "identifier", "constant")
# Ways of reading that can be set where a column's own values leave them open.
WAYS: dict[str, dict[str, str]] = {
    "day first": {"kind": "date", "order": "dmy"},
    "month first": {"kind": "date", "order": "mdy"},
    "decimal comma": {"kind": "number", "decimal": ","},
    "decimal point": {"kind": "number", "decimal": "."},
}
_OF_DATES = ("days since 1970", "hours of the day")


@dataclass(frozen=True)
class Profile:
    """What the values of a column were like, to tell others from them.

    Attributes:
        rows: How many there were.
        missing: The share of rows without one.
        low: The least number; 0 for a category.
        high: The largest.
        edges: Numbers, ascending, that divide the range into parts.
        shares: The share of each part, or of each level, among the rows with a value.
    """

    rows: int = 0
    missing: float = 0.0
    low: float = 0.0
    high: float = 0.0
    edges: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()


@dataclass(frozen=True)
class Column:
    """How a column is read.

    Attributes:
        name: The column's.
        kind: "number"; "date", a date or time; "yes/no", read as 1 and 0; "category"; and, which
            say nothing about another row and are left out, "text", "identifier" and "constant".
        unit: What a number's text has beside its digits; of a date "days since 1970" or "hours of
            the day".
        decimal: The decimal mark of numbers in text, "." or ",".
        order: Of dates such as 1/2/2020 in text: "dmy", "mdy", or empty if that was not told.
        levels: Names of a category's levels, in order, without missing.
        chosen: Whether the kind was set and not found.
        reason: Why it is left out; empty if it is not.
        note: What a reader of the table should know about the reading; empty if nothing.
        profile: What the values were like.
    """

    name: str
    kind: Kind = "number"
    unit: str = ""
    decimal: str = "."
    order: str = ""
    levels: tuple[str, ...] = ()
    chosen: bool = False
    reason: str = ""
    note: str = ""
    profile: Profile = Profile()

    @property
    def is_used(self) -> bool:
        """Whether it is not left out."""
        return self.kind not in LEFT_OUT

    @property
    def is_number(self) -> bool:
        """Whether it is read as numbers, of whatever kind."""
        return self.kind in NUMERIC

    def words(self) -> str:
        """What it was taken for, in a few words.

        Example:
            >>> Column("price", "number", unit="€", decimal=",").words()
            'number in €, decimal comma'
        """
        parts = [self.kind]
        if self.kind == "category":
            parts = [f"category of {len(self.levels)} level{'s'[: len(self.levels) != 1]}"]
        elif self.kind == "date" and self.unit == _OF_DATES[1]:
            parts = ["time of day"]
        elif self.kind == "number" and self.unit:
            parts = [f"number in {self.unit}"]
        if self.kind == "number" and self.decimal == ",":
            parts.append("decimal comma")
        if self.kind == "date" and self.order:
            parts.append("day first" if self.order == "dmy" else "month first")
        return ", ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, of which `from_dict` makes the column again."""
        found = asdict(self)
        found["levels"] = list(self.levels)
        found["profile"] |= {key: list(getattr(self.profile, key)) for key in ("edges", "shares")}
        return found

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Column":
        """The column that `to_dict` described.

        Raises:
            ValueError: If that describes none.
        """
        wrong = problem(data)
        expect(not wrong, "Column.from_dict(data=...)", "a column as `to_dict` tells it", wrong)
        inner = dict(data["profile"])
        inner |= {key: tuple(map(float, inner[key])) for key in ("edges", "shares")}
        return cls(**{**data, "levels": tuple(data["levels"]), "profile": Profile(**inner)})


def problem(data: Any) -> str:
    """What is wrong with a column's plain data, the first found; empty if nothing is."""
    if not isinstance(data, Mapping) or data.keys() != {field.name for field in fields(Column)}:
        return "a column with entries that are absent or unknown"
    for key in ("name", "kind", "unit", "decimal", "order", "reason", "note"):
        if not is_json_text(data[key]):
            return f"a column's {key} that is no text"
    if data["kind"] not in KINDS or data["decimal"] not in (".", ","):
        return f"an unknown kind or decimal mark of {data['name']!r:.40}"
    if data["order"] not in ("", "dmy", "mdy") or not isinstance(data["chosen"], bool):
        return f"an unknown order of dates of {data['name']!r:.40}"
    if data["kind"] == "date" and data["unit"] not in _OF_DATES:
        return f"an unknown unit of the dates of {data['name']!r:.40}"
    levels = data["levels"]
    if not isinstance(levels, list) or not all(map(is_json_text, levels)):
        return f"levels of {data['name']!r:.40} that are no words"
    if len(set(levels)) != len(levels):
        return f"levels of {data['name']!r:.40} that are not distinct"
    return _wrong_profile(data["profile"], data["name"])


def _wrong_profile(found: Any, name: str) -> str:
    if not isinstance(found, Mapping) or found.keys() != {field.name for field in fields(Profile)}:
        return f"a profile of {name!r:.40} with entries that are absent or unknown"
    lists = [found["edges"], found["shares"]]
    if not all(isinstance(values, list) for values in lists):
        return f"a profile of {name!r:.40} that is none"
    numbers = [found[key] for key in ("rows", "missing", "low", "high")]
    if not all(map(is_json_number, [*numbers, *lists[0], *lists[1]])):
        return f"a profile of {name!r:.40} that is none"
    ascending = all(a < b for a, b in zip(lists[0], lists[0][1:], strict=False))
    shares = all(0 <= share <= 1 for share in (*lists[1], found["missing"]))
    whole = isinstance(found["rows"], int) and 0 <= found["rows"] < 2**53
    if not (ascending and shares and whole and found["low"] <= found["high"]):
        return f"a profile of {name!r:.40} that is none"
    return ""


def expect_chosen(chosen: Any, names: list[str], where: str) -> dict[str, dict[str, str]]:
    """What is set of columns, as settings of `Column`.

    Args:
        chosen: A kind, or a way of reading such as "day first", by name of a column; or `None`.
        names: Of the table's columns.
        where: The public call this is for.

    Raises:
        ValueError: For a column or a kind that there is not.
        TypeError: If it is no mapping.
    """
    mapping = chosen is None or isinstance(chosen, Mapping)
    expect(mapping, where, "a kind by name of a column", type(chosen).__name__, error=TypeError)
    found = {}
    for name, kind in (chosen or {}).items():
        if name not in names:
            unknown(where, "a column", str(name), names)
        if kind not in KINDS and kind not in WAYS:
            unknown(where, f"a kind of {name!r}", str(kind), [*KINDS, *WAYS])
        found[str(name)] = WAYS.get(kind, {"kind": kind})
    return found
