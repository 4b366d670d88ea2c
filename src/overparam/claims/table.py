"""The table of a README: of each study, how many of its paper's claims stored results reproduce."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from overparam._errors import expect
from overparam.claims.claim import VERDICTS
from overparam.claims.results import summed, verdicts

BEGIN, END = "<!-- study table -->", "<!-- end of study table -->"


def verdict_table(results: Iterable[Mapping[str, Any]], names: Iterable[str]) -> str:
    """A table in Markdown: studies, their paper's claims that held in every run, and the others.

    Controls, identities and what is ours are not counted.

    Args:
        results: What `read_results` gives.
        names: Of all studies; those without a result are named below the table.
    """
    by_study: dict[str, dict[str, Mapping[str, Any]]] = {}
    for result in results:
        by_study.setdefault(result["study"], {})[result["size"]] = result
    lines = ["| study | quick | full | what did not hold |", "|---|---:|---:|---|"]
    for name in sorted(by_study):
        sizes = by_study[name]
        cells = [_count(sizes[size]) if size in sizes else "" for size in ("quick", "full")]
        last = sizes.get("full") or sizes.get("quick")
        lines.append(f"| `{name}` | {' | '.join(cells)} | {_otherwise(last) if last else ''} |")
    absent = sorted(set(names) - by_study.keys())
    if absent:
        lines += ["", f"No result is stored of {', '.join(f'`{name}`' for name in absent)}."]
    return "\n".join(lines)


def put_between(text: str, table: str) -> str:
    """A page with the table between its two marks.

    Raises:
        ValueError: If the marks are not there, each once.
    """
    marked = text.count(BEGIN) == text.count(END) == 1 and text.index(BEGIN) < text.index(END)
    expect(marked, "study table --write", f"a page with {BEGIN} before {END}", "none or several")
    return f"{text.partition(BEGIN)[0]}{BEGIN}\n{table}\n{END}{text.partition(END)[2]}"


def _paper(result: Mapping[str, Any]) -> dict[str, str]:
    """By claim of the paper, what its runs gave."""
    kinds = {claim["name"]: claim.get("kind") for claim in result["claims"]}
    return {
        name: _told(found) for name, found in verdicts(result).items() if kinds[name] == "paper"
    }


def _told(found: list[str]) -> str:
    """The verdict of all runs, or in how many the claim held and what it was in the others."""
    others = [verdict for verdict in found if verdict != VERDICTS[0]]
    if len(set(found)) == 1 or len(others) == len(found):
        return summed(found)
    return f"held in {len(found) - len(others)} of {len(found)} runs, else {summed(others)}"


def _count(result: Mapping[str, Any]) -> str:
    found = _paper(result)
    held = sum(verdict == VERDICTS[0] for verdict in found.values())
    return f"{held} of {len(found)}" if found else "none told apart"


def _otherwise(result: Mapping[str, Any]) -> str:
    """Names of the claims that were not reproduced; how many need a larger size."""
    found = _paper(result)
    untested = Counter(found.values())[VERDICTS[3]]
    parts = [
        f"`{name}`: {verdict}"
        for name, verdict in found.items()
        if verdict not in (VERDICTS[0], VERDICTS[3])
    ]
    return "; ".join([*parts, *([f"{untested} {VERDICTS[3]}"] if untested else [])])
