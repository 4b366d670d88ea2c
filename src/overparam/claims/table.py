"""Tables of stored results: of each study how many claims held, and what each claim gave."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from overparam._errors import expect
from overparam.claims.claim import VERDICTS
from overparam.claims.results import summed, verdicts

BEGIN, END = "<!-- study table -->", "<!-- end of study table -->"
_SHOWN = ("quick", "full")
_KINDS = {"control": "a control", "identity": "an identity", "ours": "ours"}


def verdict_table(results: Iterable[Mapping[str, Any]], names: Iterable[str]) -> str:
    """A table in Markdown: studies, their paper's claims that held in every run, and the others.

    Controls that failed have a column; identities and what is ours are not in the table.

    Args:
        results: What `read_results` gives.
        names: Of all studies; those without a result are named below the table.
    """
    by_study: dict[str, dict[str, Mapping[str, Any]]] = {}
    for result in results:
        by_study.setdefault(result["study"], {})[result["size"]] = result
    heads = [f"{size}{_seeds(by_study.values(), size)}" for size in _SHOWN]
    lines = [
        f"| study | {' | '.join(heads)} | what did not hold | controls that failed |",
        "|---|---:|---:|---|---|",
    ]
    for name in sorted(by_study):
        sizes = {size: by_study[name][size] for size in _SHOWN if size in by_study[name]}
        counts = [_count(sizes[size]) if size in sizes else "" for size in _SHOWN]
        columns = [*counts, _otherwise(sizes, "paper"), _otherwise(sizes, "control")]
        lines.append(f"| `{name}` | {' | '.join(columns)} |")
    absent = sorted(set(names) - by_study.keys())
    if absent:
        lines += ["", f"No result is stored of {', '.join(f'`{name}`' for name in absent)}."]
    return "\n".join(lines)


def claim_tables(results: Iterable[Mapping[str, Any]]) -> str:
    """Tables in Markdown, one for each study and size: what every claim gave in every run.

    Claims of the paper come first, under the sentence that they test.

    Args:
        results: What `read_results` gives.
    """
    parts = []
    for result in results:
        runs = [result, *(result.get("repeated") or [])]
        several = {run["seed"] for run in runs if sum(r["seed"] == run["seed"] for r in runs) > 1}
        heads = [
            f"seed {run['seed']}" + (f", {_device(run)}" if run["seed"] in several else "")
            for run in runs
        ]
        found = [_by_name(run["claims"]) for run in runs]
        rows, before = [], ""
        for claim in sorted(result["claims"], key=_by_sentence(result)):
            about = claim.get("sentence") or _KINDS.get(claim.get("kind") or "ours", "ours")
            about = about.replace("|", "\\|")
            words = " | ".join(_gave(run.get(claim["name"])) for run in found)
            rows.append(f"| {about if about != before else ''} | `{claim['name']}` | {words} |")
            before = about
        parts += [
            f"## {result['study']}, {result['size']}\n",
            f"| what it is about | claim | {' | '.join(heads)} |",
            f"|---|---|{'---|' * len(runs)}",
            *rows,
            "",
        ]
    return "\n".join(parts).rstrip()


def _by_name(claims: Any) -> Mapping[str, Mapping[str, Any]]:
    """A run's claims by name; of the first run they are a list."""
    return claims if isinstance(claims, Mapping) else {claim["name"]: claim for claim in claims}


def _by_sentence(result: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], tuple[int, int]]:
    """Order of claims: sentences as they first occur, then controls, identities, what is ours."""
    sentences = list(dict.fromkeys(claim.get("sentence") or "" for claim in result["claims"]))
    kinds = ["paper", *_KINDS]

    def order(claim: Mapping[str, Any]) -> tuple[int, int]:
        sentence = claim.get("sentence") or ""
        place = sentences.index(sentence) if sentence else len(sentences)
        return place, kinds.index(claim.get("kind") or "ours")

    return order


def _gave(claim: Mapping[str, Any] | None) -> str:
    """What a claim gave in a run: its verdict and what was measured."""
    if claim is None:
        return "–"
    measured = claim["measured"]
    said = f" ({measured:.3g})" if isinstance(measured, (int, float)) else ""
    return f"{claim['verdict']}{said}"


def _device(run: Mapping[str, Any]) -> str:
    """Of several runs of one seed: the processor's instructions, by which they round."""
    return str((run.get("environment") or {}).get("device") or "another device")


def put_between(text: str, table: str) -> str:
    """A page with the table between its two marks.

    Raises:
        ValueError: If the marks are not there, each once.
    """
    marked = text.count(BEGIN) == text.count(END) == 1 and text.index(BEGIN) < text.index(END)
    expect(marked, "study table --write", f"a page with {BEGIN} before {END}", "none or several")
    return f"{text.partition(BEGIN)[0]}{BEGIN}\n{table}\n{END}{text.partition(END)[2]}"


def _seeds(studies: Iterable[Mapping[str, Mapping[str, Any]]], size: str) -> str:
    """With how many seeds the studies were run at a size, if that is one number."""
    counts = {
        len({run["seed"] for run in [sizes[size], *(sizes[size].get("repeated") or [])]})
        for sizes in studies
        if size in sizes
    }
    count = counts.pop() if len(counts) == 1 else None
    return f", {count} seed{'s' * (count > 1)}" if count else ""


def _of_kind(result: Mapping[str, Any], kind: str) -> dict[str, str]:
    """By claim of a kind, what its runs gave."""
    kinds = {claim["name"]: claim.get("kind") for claim in result["claims"]}
    return {name: _told(found) for name, found in verdicts(result).items() if kinds[name] == kind}


def _told(found: list[str]) -> str:
    """The verdict of all runs, or in how many the claim held and what it was in the others."""
    others = [verdict for verdict in found if verdict != VERDICTS[0]]
    if len(set(found)) == 1 or len(others) == len(found):
        return summed(found)
    return f"held in {len(found) - len(others)} of {len(found)} runs, else {summed(others)}"


def _count(result: Mapping[str, Any]) -> str:
    found = _of_kind(result, "paper")
    held = sum(verdict == VERDICTS[0] for verdict in found.values())
    return f"{held} of {len(found)}" if found else "none told apart"


def _otherwise(sizes: Mapping[str, Mapping[str, Any]], kind: str) -> str:
    """Claims of a kind that were not reproduced, at which size if not at each that was run.

    How many need a larger size is said of the largest.
    """
    found = {size: _of_kind(result, kind) for size, result in sizes.items()}
    parts = []
    for name in dict.fromkeys(name for claims in found.values() for name in claims):
        told = {size: claims[name] for size, claims in found.items() if name in claims}
        if len(set(told.values())) == 1:
            told = {"": next(iter(told.values()))}
        words = [
            f"{verdict}{f' ({size})' * bool(size)}"
            for size, verdict in told.items()
            if verdict not in (VERDICTS[0], VERDICTS[3])
        ]
        parts += [f"`{name}`: {', '.join(words)}"] if words else []
    untested = Counter(found[[*found][-1]].values())[VERDICTS[3]]
    return "; ".join([*parts, *([f"{untested} {VERDICTS[3]}"] if untested else [])])
