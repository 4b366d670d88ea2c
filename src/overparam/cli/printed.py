"""What commands print and write of what was found."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overparam._output import print_table

if TYPE_CHECKING:
    from overparam._statement import Concluded


def print_found(found: "Concluded", json: Path | None, html: Path | None) -> None:
    """Print what was found; write its numbers and its page where that was asked for."""
    print(found.summary())
    write_found(found, json, html)


def write_found(found: "Concluded", json: Path | None, html: Path | None) -> None:
    """Write the numbers and the page of what was found, where that was asked for."""
    if json is not None:
        found.to_json(json)
        print(f"numbers: {json}", file=sys.stderr)
    if html is not None:
        found.report(html)
        print(f"page: {html}", file=sys.stderr)


def print_reading(reading: list[dict[str, str]]) -> None:
    """What columns were taken for, a line for each kind."""
    groups: dict[str, list[str]] = {}
    for row in reading:
        if not row["reason"]:
            groups.setdefault(row["words"], []).append(row["name"])
    for words, names in groups.items():
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        print(f"{words}: {', '.join(names[:8])}{more}")
    if groups:
        print()


def print_claims(document: dict[str, Any]) -> None:
    """What became of each claim of a study."""
    print("{study} ({size}, seed {seed}, {seconds:.0f} s)".format(**document))
    print_table(
        ["claim", "kind", "measured", "reproduced if", "n", "verdict"],
        [
            [
                claim["name"],
                claim.get("kind", ""),
                "—" if claim["measured"] is None else f"{claim['measured']:.4g}",
                claim["tolerance"].partition(":")[0],
                claim["n"],
                claim["verdict"],
            ]
            for claim in document["claims"]
        ],
    )
