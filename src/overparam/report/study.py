"""What a study's part of the page shows, as plain data for its template."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from overparam.report.diagnosis import origin
from overparam.report.figures.study import study_figures
from overparam.report.numbers import duration

# Verdict: the level whose colour and sign it shares.
VERDICTS = {
    "not reproduced": "critical",
    "weaker": "warning",
    "not testable at this size": "unknown",
    "reproduced": "good",
}
_CLAIM = (
    "name", "statement", "source", "paper", "measured", "tolerance", "n",
    "kind", "sentence", "moved",
)  # fmt: skip


def study_view(document: Mapping) -> dict[str, Any]:
    """Everything the template of a study fills in."""
    claims = [_claim(claim) for claim in document["claims"] or []]
    verdicts = Counter((claim["level"], claim["verdict"]) for claim in claims)
    facts = [f"{document['size']} size"] if document.get("size") else []
    facts += [f"seed {document['seed']}"] if document.get("seed") is not None else []
    facts += [duration(document["seconds"])] if document.get("seconds") is not None else []
    source = origin(document)
    return {
        "template": "study.html.j2",
        "kind": "Study",
        "title": str(document.get("title") or document.get("study") or "A study"),
        "study": document.get("study"),
        "reference": document.get("reference"),
        "facts": facts,
        "claims": claims,
        "outcome": [(level, f"{n} {verdict}") for (level, verdict), n in verdicts.most_common()],
        "figures": study_figures(document),
        "origin": {**source, "command": source["command"] or _command(document)},
    }


def _command(document: Mapping) -> str | None:
    """What repeats the study, if the document names it."""
    name, size, seed = (document.get(key) for key in ("study", "size", "seed"))
    options = f" --size {size}" * bool(size) + f" --seed {seed}" * (seed is not None)
    return f"overparam study run {name}{options}" if name else None


def _claim(claim: Mapping) -> dict[str, Any]:
    """A claim with every key the table shows, and the level of its verdict."""
    verdict = str(claim.get("verdict") or "no verdict")
    level = VERDICTS.get(verdict, "unknown")
    return {**dict.fromkeys(_CLAIM), **claim, "verdict": verdict, "level": level}
