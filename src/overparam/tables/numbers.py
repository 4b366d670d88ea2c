"""Numbers as people write them: decimal commas, thousands, units, currencies, percent."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Words for a number that is not there; a category may well have such a level.
GAPS = frozenset(
    ("-", "--", "---", "–", "—", ".", "..", "...", "…", "unknown", "missing", "none", "n.a.",
     "n.a", "n. a.", "na", "nil", "tbd", "tba", "not available", "not applicable", "not known",
     "no data", "nodata", "undefined", "blank", "empty", "k.a.", "k. a.", "keine angabe",
     "unbekannt", "inconnu", "#div/0!", "#value!", "#ref!", "#num!", "#null!", "#name?", "(null)",
     "(blank)", "(unknown)", "(missing)", "(none)", "0000-00-00", "0000-00-00 00:00:00",
     "00/00/0000", "00.00.0000", "n.d.", "n/c", "s/d", "desconocido", "sin datos", "\\n",
     "not reported", "unk", "unkn", "x.x")
)  # fmt: skip
_MAGNITUDES = {
    "k": 1e3, "K": 1e3, "M": 1e6, "mn": 1e6, "Mio": 1e6, "Mio.": 1e6, "mio": 1e6, "B": 1e9,
    "bn": 1e9, "Bn": 1e9, "Mrd": 1e9, "Mrd.": 1e9,
}  # fmt: skip
# Those that stand behind a blank: there K and M are units.
_SPELLED = {"thousand": 1e3, "million": 1e6, "billion": 1e9} | {
    word: size for word, size in _MAGNITUDES.items() if len(word) > 1
}
# Those that stand behind an amount of money.
_MONEY = {"k": 1e3, "K": 1e3, "m": 1e6, "M": 1e6, "b": 1e9, "B": 1e9} | _SPELLED
_CURRENCIES = frozenset(
    ("$", "€", "£", "¥", "₹", "₽", "₩", "₺", "₪", "₫", "₴", "฿", "R$", "US$", "C$", "A$", "kr",
     "kr.", "zł", "Kč", "Ft", "Fr", "Fr.", "Rs", "Rs.", "USD", "EUR", "GBP", "CHF", "JPY", "CNY",
     "INR", "SEK", "NOK", "DKK", "PLN", "CZK", "HUF", "AUD", "CAD", "NZD", "BRL", "MXN", "ZAR",
     "KRW", "RUB", "TRY", "SGD", "HKD", "Euro", "euro", "Dollar", "dollars")
)  # fmt: skip
_UNITS = frozenset(
    ("%", "‰", "°", "°C", "°F", "ºC", "ºF", "mm", "cm", "dm", "m", "km", "in", "inch", "ft", "yd",
     "mi", "nm", "µm", "μm", "um", "mm²", "cm²", "m²", "m2", "sqm", "qm", "km²", "km2", "ha",
     "sqft", "ft²", "acre", "acres", "mm³", "cm³", "m³", "m3", "cc", "ml", "mL", "cl", "dl", "l",
     "L", "hl", "gal", "oz", "lb", "lbs", "mg", "µg", "μg", "ug", "g", "kg", "t", "ns", "µs", "us",
     "ms", "s", "sec", "secs", "min", "mins", "h", "hr", "hrs", "d", "w", "wk", "mo", "y", "yr",
     "yrs", "Hz", "kHz", "MHz", "GHz", "V", "mV", "kV", "A", "mA", "W", "kW", "MW", "GW", "Wh",
     "kWh", "MWh", "J", "kJ", "MJ", "kcal", "cal", "Pa", "hPa", "kPa", "MPa", "bar", "mbar", "psi",
     "mmHg", "N", "kN", "Nm", "hp", "PS", "bhp", "rpm", "mph", "km/h", "kmh", "kph", "m/s", "mpg",
     "kmpl", "km/l", "l/100km", "KB", "kB", "MB", "GB", "TB", "mol", "mmol", "mmol/l", "mmol/L",
     "mg/dl", "mg/dL", "g/l", "g/L", "mg/l", "mg/L", "ppm", "ppb", "dB", "lm", "lx", "px", "pp",
     "pct", "bps", "x", "×")
)  # fmt: skip
_SHARES = {"%", "‰"}
_BODY = r"[.,]?\d(?:[\d.,'’ ]*\d)?[.,]?"
_NUMBER = re.compile(
    r"(?P<first>[+-]?) ?(?P<before>[^\d\s+\-.,'’()<>≤≥~≈=:/#]{0,4}\.?) ?(?P<sign>[+-]?)"
    rf"(?P<body>{_BODY})(?P<power>[eE][+-]?\d{{1,3}})?(?P<gap> ?)(?P<after>\D{{0,16}}?(?:[²³23]|"
    r"100km)?)",
    re.ASCII,
)
_GROUPS = {
    mark: re.compile(rf"[1-9]\d{{0,2}}(?:{re.escape(mark)}\d{{3}})+", re.ASCII)
    for mark in (",", ".", " ", "'")
}
_LAKHS = re.compile(r"[1-9]\d?(?:,\d{2})+,\d{3}", re.ASCII)
_MINUS = str.maketrans({"−": "-", "－": "-", "\u2010": "-", "\u2011": "-", "’": "'"})
_CODE = re.compile(r"0\d+|\d{16,}", re.ASCII)
_EITHER = re.compile(r"[1-9]\d{0,2}[.,]\d{3}", re.ASCII)


@dataclass(frozen=True)
class Written:
    """A number taken apart: digits, power of ten, what else multiplies them, and a unit."""

    body: str
    power: str
    factor: float
    unit: str


@dataclass(frozen=True, eq=False)
class Numerals:
    """Texts read as numbers.

    Attributes:
        values: One a text, NaN where it is none.
        decimal: "." or ",".
        unit: What stands beside the digits; empty if nothing does.
        doubt: Why they cannot be read all alike; empty if they can.
        note: What was chosen where the texts themselves leave it open.
    """

    values: np.ndarray
    decimal: str = "."
    unit: str = ""
    doubt: str = ""
    note: str = ""


def read_numbers(
    texts: Sequence[str], decimal: str = "", unit: str | None = None, *, codes: bool = False
) -> Numerals:
    """Numbers in a column's distinct texts, all read the same way.

    Args:
        texts: Stripped, none of them empty.
        decimal: "." or ","; empty to see which of them the texts agree with.
        unit: The unit they have to have, if any; `None` to see which they have.
        codes: Whether 007 and digits beyond what a number resolves are numbers all the same.

    Example:
        >>> read_numbers(["1.234,5 €", "20 €"]).values
        array([1234.5,   20. ])
        >>> read_numbers(["<5", "7"]).doubt
        "bounds such as '<5'"
    """
    parts = [None if text.casefold() in GAPS else taken_apart(text, codes=codes) for text in texts]
    odd = [
        text
        for text, part in zip(texts, parts, strict=True)
        if part is None and text.casefold() not in GAPS
    ]
    units = {part.unit for part in parts if part is not None} - {""}
    bare = any(part is not None and not part.unit for part in parts)
    if unit is not None:
        # Without %, 0.12 beside 12% may be a share and may be a percentage.
        known = (unit,) if bare and unit in units & _SHARES else ("", unit)
        parts = [
            part if part and (part.unit in known or not part.body.strip("0")) else None
            for part in parts
        ]
    bodies = [part.body for part in parts if part is not None]
    note = ""
    # Digits with a power of ten stand in no groups of three.
    scientific = [part.body for part in parts if part is not None and part.power]
    if not decimal and any("," in body for body in scientific):
        decimal = "" if any("." in body for body in scientific) else ","
    if not decimal:
        decimal, note = _decimal(bodies)
    values = np.array(
        [np.nan if part is None else _value(part, decimal) for part in parts], dtype=np.float64
    )
    unread = [t for t, p, v in zip(texts, parts, values, strict=True) if p and np.isnan(v)]
    doubt = _reason(odd) if odd else ""
    if unit is None and not doubt:
        if len(units) > 1:
            doubt = f"two units, {' and '.join(sorted(units)[:2])}"
        elif bare and units & _SHARES:
            doubt = f"numbers with and without {next(iter(units))}"
        elif bare and units and any(p and p.unit and not _is_known(p) for p in parts):
            doubt = f"words such as {_with(texts, parts, units)!r}"
    if not doubt and unread:
        doubt = f"digits in groups that do not agree, such as {unread[0]!r}"
    return Numerals(values, decimal, next(iter(sorted(units)), "") if unit is None else unit,
                    doubt, note)  # fmt: skip


def taken_apart(text: str, *, codes: bool = False) -> Written | None:
    """One number as it is written; None if it is none, or a code such as 007 unless `codes`."""
    text = text.translate(_MINUS).replace("\u00a0", " ").replace("\u202f", " ")
    text = text.replace("\u2009", " ")
    if text[-1:] == "-" and text[-2:-1].isdecimal() and text[:1] not in "+-(":
        text = "-" + text[:-1]  # as ledgers write it
    negative = text.startswith("(") and text.endswith(")")
    found = _NUMBER.fullmatch(text[1:-1].strip() if negative else text)
    if found is None:
        return None
    before, after, body = found["before"], found["after"].strip(), found["body"]
    if (found["first"] and found["sign"]) or (negative and (found["first"] or found["sign"])):
        return None
    if before and before not in _CURRENCIES and not _is_sign(before):
        return None
    if _CODE.fullmatch(body) and not (codes or before or after):
        return None
    factor = -1.0 if negative or "-" in (found["first"], found["sign"]) else 1.0
    if after and not found["gap"]:
        for word, size in _MAGNITUDES.items():
            rest = after.removeprefix(word).strip()
            if after not in _UNITS and after.startswith(word) and rest in {"", *_CURRENCIES}:
                factor, after = factor * size, rest
                break
    elif after in _SPELLED:
        factor, after = factor * _SPELLED[after], ""
    if before and after in _MONEY:  # no metres of dollars
        factor, after = factor * _MONEY[after], ""
    if before and after:
        return None
    if after and after not in _UNITS and after not in _CURRENCIES and not _is_sign(after):
        if all(part in _UNITS for part in after.split("/")):
            return Written(body, found["power"] or "", factor, after)
        if not (found["gap"] and all(letter.isalpha() or letter in " ./" for letter in after)):
            return None
        after = after.rstrip("s") if len(after) > 2 else after
    return Written(body, found["power"] or "", factor, _one(before or after))


def _is_sign(text: str) -> bool:
    """Whether it is the sign of some currency."""
    return len(text) == 1 and unicodedata.category(text) == "Sc"


def _one(unit: str) -> str:
    """Spellings of one unit as one."""
    same = {"ºC": "°C", "ºF": "°F", "μm": "µm", "μg": "µg", "Euro": "€", "euro": "€", "EUR": "€",
            "USD": "$", "US$": "$", "GBP": "£", "lbs": "lb", "hrs": "h", "hr": "h", "mins": "min",
            "secs": "s", "sec": "s", "yrs": "yr", "mL": "ml", "L": "l", "m2": "m²", "km2": "km²",
            "m3": "m³", "pct": "%", "percent": "%"}  # fmt: skip
    return same.get(unit, unit)


def _is_known(part: Written) -> bool:
    unit = part.unit
    known = unit in _UNITS or unit in _CURRENCIES or _is_sign(unit)
    return known or all(one in _UNITS for one in unit.split("/"))


def _with(texts: Sequence[str], parts: Sequence[Written | None], units: set[str]) -> str:
    return next(t for t, p in zip(texts, parts, strict=True) if p is not None and p.unit in units)


def _value(part: Written, decimal: str) -> float:
    digits = _digits(part.body, decimal)
    return float(digits + part.power) * part.factor if digits else np.nan


def _digits(body: str, decimal: str) -> str:
    """The number as Python writes it, by one decimal mark; empty if it is none by it."""
    whole, _, fraction = body.partition(decimal)
    if fraction and not fraction.isdecimal():
        return ""
    other = "," if decimal == "." else "."
    for mark in (other, " ", "'"):
        if mark in whole:
            grouped = _GROUPS[mark].fullmatch(whole) or (mark == "," and _LAKHS.fullmatch(whole))
            if not grouped:
                return ""
            whole = whole.replace(mark, "")
            break
    if whole and not whole.isdecimal():
        return ""
    return f"{whole or '0'}.{fraction or '0'}" if whole or fraction else ""


def _decimal(bodies: Sequence[str]) -> tuple[str, str]:
    """The decimal mark that all agree with, and what to say where both would do."""
    if not any("," in body or "." in body for body in bodies):
        return ".", ""
    fits = {mark: sum(bool(_digits(body, mark)) for body in bodies) for mark in ".,"}
    if fits["."] != fits[","]:
        return max(".,", key=lambda mark: fits[mark]), ""
    marked = [body for body in bodies if "," in body or "." in body]
    # By either mark they are numbers: 1,234 and 1.234 stand for two values each.
    if not all(_EITHER.fullmatch(body) for body in marked):
        return ".", ""
    mark = "," if "," in marked[0] else "."
    mixed = any(body.isdecimal() for body in bodies)
    if mark == ",":
        if mixed:  # numbers below a thousand without, above with it
            return ".", ""
        meant = marked[0].replace(",", "")
        return ".", f"{marked[0]} is read as {meant}; if the comma is a decimal one, set it to "\
            "'decimal comma'"  # fmt: skip
    thousands = mixed and all(len(body) < 4 for body in bodies if body.isdecimal())
    if thousands:
        return ".", (
            f"{marked[0]} is read with a decimal point; if the point groups thousands, set it to "
            "'decimal comma'"
        )
    return ".", ""


def _reason(odd: Sequence[str]) -> str:
    """Why some texts are no numbers, by the first of them."""
    first = odd[0]
    kinds = (
        ("bounds", r"[<>≤≥]=?.*\d.*|.*\d\+"),
        ("ranges", r"[\d.,]+\s*(?:-|–|—|to|bis|\.\.)\s*[\d.,]+\D{0,8}"),
        ("fractions", r"\d+\s*/\s*\d+"),
        ("approximations", r"[~≈]\s*\d.*|(?:ca\.?|about|approx\.?)\s*\d.*"),
        ("codes with leading zeros", r"0\d+"),
        ("very long numbers", r"\d{16,}"),
    )
    for name, pattern in kinds:
        if re.fullmatch(pattern, first, re.IGNORECASE):
            return f"{name} such as {first!r}"
    return f"words such as {first!r}"
