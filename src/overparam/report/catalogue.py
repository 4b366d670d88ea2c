"""The page of all studies: of each what its paper says, what held, and what would change that."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from overparam.report.diagnosis import origin
from overparam.report.documents import read_documents
from overparam.report.figures.study import study_figures
from overparam.report.numbers import duration
from overparam.report.page import page
from overparam.report.study import VERDICTS, study_view

# What other runs of the same size say otherwise is none of the four verdicts.
DEPENDS = "held in some runs"
_BEST_FIRST = (
    "reproduced", DEPENDS, "weaker", "not reproduced", "not testable at this size",
)  # fmt: skip
_LEVELS = {**VERDICTS, DEPENDS: "warning"}
# Of a sentence with more claims than these, those that held are folded away.
_SHOWN = 4
_KINDS = {"control": "controls", "identity": "identities", "ours": "what is ours"}


def render_catalogue(results: Iterable[Mapping]) -> str:
    """One offline page of stored results, a part for each study.

    Args:
        results: Documents of studies, by study; of one study the largest size is shown in full,
            and of the others what their runs gave.
    """
    by_study: dict[str, list[dict]] = {}
    for source in results:
        (document,) = read_documents(source)
        by_study.setdefault(str(document["study"]), []).append(document)
    views = [catalogue_view(documents) for documents in by_study.values()]
    counted = Counter(word for view in views for word in view["paper_verdicts"])
    said = ", ".join(f"{counted[word]} {word}" for word in _BEST_FIRST if counted[word])
    title = f"What {len(views)} papers say, each at its largest size: {said}" if said else "Studies"
    return page(views, title, ("paper", "run", "what it says"))


def catalogue_view(documents: Sequence[dict]) -> dict[str, Any]:
    """Everything the template fills in of one study's results, smaller sizes first."""
    shown = documents[-1]
    view = study_view(shown)
    paper = [claim for claim in view["claims"] if claim["kind"] == "paper"]
    others = [claim for claim in view["claims"] if claim["kind"] != "paper"]
    for claim in paper:
        claim["elsewhere"] = _elsewhere(claim, documents)
    words = [_in_all_runs(claim, shown) for claim in paper]
    return {
        **view,
        "template": "catalogue.html.j2",
        "kind": " · ".join(_run_words(shown)),
        "outcome": _outcome(words),
        "paper_verdicts": words,
        "paper": paper,
        "tested": _by_sentence(paper, words),
        "others": [
            {
                "words": words,
                "outcome": _outcome([_in_all_runs(c, shown) for c in group]),
                "claims": group,
            }
            for kind, words in _KINDS.items()
            if (group := [claim for claim in others if (claim["kind"] or "ours") == kind])
        ],
        "figures": study_figures(shown)[:1],
        "runs": [_run(document, size) for size in documents for document in _runs(size)],
        "origin": {"command": origin(shown)["command"] or view["origin"]["command"], "rows": []},
        **{key: shown.get(key) for key in ("changed", "cost", "failure")},
    }


def _by_sentence(claims: Sequence[dict], words: Sequence[str]) -> list[dict[str, Any]]:
    """Under each sentence of the paper its claims, those that held apart where they are many."""
    found: dict[str, list[tuple[dict, str]]] = {}
    for claim, word in zip(claims, words, strict=True):
        found.setdefault(str(claim["sentence"] or ""), []).append((claim, word))
    parts = []
    for sentence, told in found.items():
        group = [claim for claim, _ in told]
        held = [c for c in group if c["verdict"] == "reproduced" and not c["elsewhere"]]
        folded = held if len(group) > _SHOWN else []
        shown = [claim for claim in group if claim not in folded]
        outcome = _outcome([word for _, word in told])
        parts.append({"sentence": sentence, "outcome": outcome, "shown": shown, "folded": folded})
    return parts


def _outcome(words: Sequence[str]) -> list[tuple[str, str]]:
    """How many of each verdict, with its level."""
    return [
        (_LEVELS.get(word, "unknown"), f"{words.count(word)} {word}")
        for word in (*_BEST_FIRST, *sorted(set(words) - set(_BEST_FIRST)))
        if word in words
    ]


def _runs(document: Mapping) -> list[Mapping]:
    """A result's own run and those that repeated it with other seeds."""
    return [document, *(document.get("repeated") or [])]


def _verdicts(run: Mapping) -> dict[str, str]:
    claims = run.get("claims") or {}
    if isinstance(claims, Mapping):
        return {name: str(claim.get("verdict")) for name, claim in claims.items()}
    return {str(claim.get("name")): str(claim.get("verdict")) for claim in claims}


def _in_all_runs(claim: Mapping, document: Mapping) -> str:
    """A claim's verdict, unless it held in some runs of this size and not in others."""
    found = {_verdicts(run).get(claim["name"], claim["verdict"]) for run in _runs(document)}
    return claim["verdict"] if "reproduced" not in found or len(found) == 1 else DEPENDS


def _elsewhere(claim: Mapping, documents: Sequence[Mapping]) -> str:
    """Runs in which a claim came out otherwise than it is shown."""
    return ", ".join(
        f"{found} at {document['size']}, seed {run['seed']}"
        for document in documents
        for run in _runs(document)
        if (found := _verdicts(run).get(claim["name"], claim["verdict"])) != claim["verdict"]
    )


def _run_words(document: Mapping) -> list[str]:
    # A seed may have been run on several processors; the runs are in a table below.
    runs = _runs(document)
    seeds = list(dict.fromkeys(str(run["seed"]) for run in runs))
    took = [(run.get("environment") or {}).get("cell_seconds") for run in runs]
    known = [seconds for seconds in took if seconds is not None]
    return [
        f"{document['size']} size",
        f"seed{'s' * (len(seeds) > 1)} {', '.join(seeds)}",
        *([duration(sum(known))] if len(known) == len(runs) else []),
    ]


def _run(run: Mapping, document: Mapping) -> list[str]:
    """Size, seed, date, machine and the time of the cells of a run, in words."""
    known = run.get("environment") or {}
    seconds = known.get("cell_seconds")
    return [
        str(document["size"]),
        str(run["seed"]),
        str(known.get("date") or "–")[:10],
        str(known.get("device") or "–"),
        f"torch {known.get('torch') or '–'}",
        "–" if seconds is None else duration(seconds),
    ]
