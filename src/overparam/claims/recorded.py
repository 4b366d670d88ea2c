"""The verdicts that are expected: recorded for each claim and size, changed only with a reason."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from overparam._errors import expect
from overparam._files import write_whole
from overparam._json import to_json
from overparam.claims.claim import VERDICTS
from overparam.claims.results import by_seed, summed
from overparam.claims.study import PAPERS

_FOLDER = Path(__file__).parents[1] / PAPERS.rpartition(".")[2] / "_verdicts"
# Where nothing is recorded: what would surprise nobody.
_UNSURPRISING = (VERDICTS[0], VERDICTS[3])


def recorded(study: str) -> dict[str, Any]:
    """A study's record: by size ``{claim: verdict}``, and under "changes" what was changed, why.

    A verdict that depends on the seed stands as that of each, ``{"0": "weaker", "1": …}``, and one
    that depends on the processor as "weaker or reproduced". Empty if nothing is recorded.
    """
    file = _FOLDER / f"{study}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def surprises(document: Mapping[str, Any]) -> dict[str, str]:
    """By claim what was expected, for those of a run's verdicts that are not what is recorded.

    Where the verdict depends on the seed, one of a seed that is recorded has to be that seed's, and
    of another seed any that some seed gave. A claim of which nothing is recorded at this size is
    expected to be reproduced, or not to be testable. One that is recorded and was not judged is a
    surprise, too. That a claim is not testable is none where a set of data is not there.
    """
    expected = _expected(document)
    found = {claim["name"]: claim["verdict"] for claim in document["claims"]}
    wrong = {
        name: expected.get(name, VERDICTS[0])
        for name, verdict in found.items()
        if verdict not in (expected[name].split(" or ") if name in expected else _UNSURPRISING)
    }
    gone = {name: verdict for name, verdict in expected.items() if name not in found}
    lacking = unjudged(document)
    return {name: verdict for name, verdict in (wrong | gone).items() if name not in lacking}


def unjudged(document: Mapping[str, Any]) -> list[str]:
    """Claims that were judged when they were recorded and are not here, for want of data."""
    if not absent_sets(document):
        return []
    expected = _expected(document)
    return [
        claim["name"]
        for claim in document["claims"]
        if claim["verdict"] == VERDICTS[3] != expected.get(claim["name"], VERDICTS[3])
    ]


def absent_sets(document: Mapping[str, Any]) -> list[str]:
    """Sets of data that a run's study asks for and that were in no folder of data."""
    data = (document.get("environment") or {}).get("data") or {}
    return [name for name, digest in data.items() if digest == "absent"]


def _expected(document: Mapping[str, Any]) -> dict[str, str]:
    """By claim the verdict that is recorded for a run's size and seed."""
    by_claim = recorded(document["study"]).get(document["size"], {})
    seed = str(document.get("seed"))
    return {name: _of_seed(verdict, seed) for name, verdict in by_claim.items()}


def _told(verdict: str | Mapping[str, str]) -> str:
    """A recorded verdict in words."""
    if isinstance(verdict, str):
        return verdict
    return ", ".join(f"{word} with seed {seed}" for seed, word in verdict.items())


def _of_seed(verdict: str | Mapping[str, str], seed: str) -> str:
    """What is recorded of a claim for a seed, or of all seeds if there is nothing for this one."""
    if isinstance(verdict, str):
        return verdict
    words = [verdict[seed]] if seed in verdict else verdict.values()
    return summed(word for one in words for word in one.split(" or "))


def record(result: Mapping[str, Any], because: str = "") -> Path | None:
    """Write what a result's runs gave as what is expected from now on.

    Args:
        result: One of `gathered`.
        because: Why a verdict is another one than was recorded; kept with both and the date.

    Returns:
        The file, or `None` if it said the same already.

    Raises:
        ValueError: If a recorded verdict changes, or goes, without a reason; nothing is written.
    """
    study, size = result["study"], result["size"]
    content = recorded(study)
    old = content.get(size, {})
    new = by_seed(result)
    changed = {name: old[name] for name in old if new.get(name) != old[name]}
    expect(
        because.strip() or not changed,
        f"study record --because ({study}, {size})",
        "a reason for another verdict than is recorded",
        "; ".join(
            f"{name}: {_told(new.get(name, 'gone'))}, not {_told(was)}"
            for name, was in changed.items()
        ),
    )
    if new == old:
        return None
    today = datetime.now(UTC).date().isoformat()
    changes = [
        {"date": today, "size": size, "claim": name, "was": was, "is": new.get(name, "gone"),
         "because": because.strip()}
        for name, was in changed.items()
    ]  # fmt: skip
    content = {**content, size: new, "changes": [*content.get("changes", []), *changes]}
    _FOLDER.mkdir(exist_ok=True)
    return write_whole(_FOLDER / f"{study}.json", to_json(content))
