"""Stored results: a study's runs at one size, with one seed in full and what others gave."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from overparam._errors import expect
from overparam._json import strict
from overparam.claims.claim import SIZES, VERDICTS

# A stored picture is looked at, not computed with: of longer lines points at equal distances stay.
_MOST_POINTS = 120


def gathered(documents: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Documents of `run_study` as stored results: one for each study and size.

    The run with the smallest seed stays whole but for long lines of its figures; of the others,
    under ``"repeated"``, stay seed, environment and what each claim measured.

    Args:
        documents: In any order; of two with study, size, seed and device alike the last counts:
            processors round in ways of their own, and a verdict may hang on that.
    """
    runs: dict[tuple[str, str], dict[tuple[int, str], Mapping[str, Any]]] = {}
    for document in documents:
        device = str(document.get("environment", {}).get("device", ""))
        alike = runs.setdefault((document["study"], document["size"]), {})
        alike[document["seed"], device] = document
    found = []
    for (_, _), by_seed in sorted(runs.items()):
        first, *others = (by_seed[run] for run in sorted(by_seed))
        series = {name: _shorter(entry) for name, entry in first.get("series", {}).items()}
        repeated = [
            {
                "seed": other["seed"],
                "environment": other.get("environment", {}),
                "claims": {
                    claim["name"]: {"measured": claim["measured"], "verdict": claim["verdict"]}
                    for claim in other["claims"]
                },
            }
            for other in others
        ]
        found.append(strict({**first, "series": series, "repeated": repeated}))
    return found


def verdicts(result: Mapping[str, Any]) -> dict[str, list[str]]:
    """By claim, the verdict of each of a result's runs, in the order of their seeds."""
    others = result.get("repeated") or []
    return {
        claim["name"]: [
            claim["verdict"],
            *(run["claims"][claim["name"]]["verdict"] for run in others
              if claim["name"] in run["claims"]),
        ]
        for claim in result["claims"]
    }  # fmt: skip


def by_seed(result: Mapping[str, Any]) -> dict[str, str | dict[str, str]]:
    """By claim the verdict of all its runs, or where they differ, that of each seed.

    Processors round in ways of their own: of several runs of one seed all verdicts stand there.
    """
    runs = [(str(result["seed"]), {claim["name"]: claim for claim in result["claims"]})]
    runs += [(str(run["seed"]), run["claims"]) for run in result.get("repeated") or []]
    found: dict[str, str | dict[str, str]] = {}
    for name, words in verdicts(result).items():
        seeds: dict[str, list[str]] = {}
        for seed, claims in runs:
            if name in claims:
                seeds.setdefault(seed, []).append(claims[name]["verdict"])
        each = {seed: summed(seeds[seed]) for seed in sorted(seeds, key=int)}
        found[name] = words[0] if len(set(words)) == 1 else each
    return found


def summed(found: Iterable[str]) -> str:
    """Verdicts of several runs as one, such as "not reproduced or weaker", the worst first.

    Example:
        >>> summed(["reproduced", "weaker", "reproduced"])
        'weaker or reproduced'
    """
    words = set(found)
    return " or ".join(verdict for verdict in _WORST_FIRST if verdict in words)


_WORST_FIRST = (*reversed(VERDICTS[:3]), VERDICTS[3])


def read_results(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Results out of files and folders of such files, by study and size.

    Raises:
        ValueError: If a file holds no result of a study, or there is none at all.
    """
    files = [
        file
        for path in paths
        for file in (sorted(path.glob("*.json")) if path.is_dir() else [path])
    ]
    where = "study report" if len(files) != 1 else f"study report {files[0]}"
    expect(files, where, "files that `study run --json` or `study record` wrote", "none")
    results = []
    for file in files:
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            content = error
        listed = content if isinstance(content, list) else [content]
        whole = all(
            isinstance(one, dict) and {"study", "size", "seed", "claims"} <= one.keys()
            for one in listed
        )
        expect(whole, f"study report {file}", "a study's result", content)
        results += listed
    order = {size: place for place, size in enumerate(SIZES)}
    return sorted(results, key=lambda one: (one["study"], order.get(one["size"], 0), one["seed"]))


def _shorter(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A figure whose lines have no more points than a page shows."""
    lines = []
    for line in entry.get("lines", []):
        step = -(-max(len(line["x"]), len(line["y"]), 1) // _MOST_POINTS)
        kept = {axis: _rounded(line[axis][::step] if entry["kind"] in ("line", "scatter")
                               else line[axis]) for axis in ("x", "y")}  # fmt: skip
        lines.append({**line, **kept})
    return {**entry, "lines": lines}


def _rounded(values: list[Any]) -> list[Any]:
    """Numbers to five digits, which no picture shows more of."""
    return [float(f"{value:.5g}") if isinstance(value, float) else value for value in values]
