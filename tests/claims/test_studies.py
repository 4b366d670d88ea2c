"""What holds of the claims of every study there is, without computing a cell."""

import functools
import re
import warnings

import numpy as np
import pandas as pd

from overparam.claims import load_study, study_names

# Results that a measured function might give whatever it is asked.
CONSTANTS = (0.0, 1e6, 0.5, 1.0, -1.0)


def judged(claim, table, constant):
    """The verdict where all results are one constant and the columns read; None if none is."""
    read = set()
    for _ in range(20):
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                return claim.judge(table, "full")["verdict"], read
        except KeyError as error:
            asked = re.findall(r"'([^']+)'", str(error)) or [str(error.args[0])]
            new = [name for name in asked if name not in table]
            if not new:
                return None, read
            read.update(new)
            table = table.assign(**dict.fromkeys(new, constant))
        except (TypeError, ValueError, IndexError, AttributeError, ZeroDivisionError):
            return None, read  # it reads lists, or more cells than there are
    return None, read


def unfailing(study):
    """Claims reproduced by every constant, unless another one sees it in what they read."""
    plan = study.plan("quick", 0)
    table = pd.DataFrame([{**cell.parameters, "seed": cell.seed} for cell in plan])
    held = [
        claim
        for claim in study.claims
        if claim.kind in ("paper", "control")
        and all(judged(claim, table, constant)[0] == "reproduced" for constant in CONSTANTS)
    ]
    if not held:
        return []
    # By constant, the columns in which some claim of the study sees it.
    seen = {constant: set() for constant in CONSTANTS}
    for claim in study.claims:
        for constant in CONSTANTS:
            verdict, read = judged(claim, table, constant)
            if verdict not in (None, "reproduced"):
                seen[constant] |= read
    return [
        claim.name
        for claim in held
        if not all(judged(claim, table, c)[1] <= seen[c] for c in CONSTANTS)
    ]


@functools.cache
def study(name):
    return load_study(name)


def test_every_study_says_what_its_paper_is_known_for():
    assert [name for name in study_names() if not study(name).headlines] == []


def test_no_claim_holds_whatever_is_measured():
    held = {name: found for name in study_names() if (found := unfailing(study(name)))}
    assert held == {}


def test_the_check_sees_a_claim_that_cannot_fail(toy):
    told = {"kind": "paper", "sentence": "Page 1: it is.", "criterion": "paper"}
    vain = toy.claim(lambda rows: rows["value"].mean() ** 2 * 0, **told)
    real = toy.claim(lambda rows: rows["value"].mean(), **told)
    assert unfailing(toy.study(claims=[vain])) == ["mean"]
    assert unfailing(toy.study(claims=[real])) == []


def test_every_study_that_loads_data_names_them():
    assert [name for name in study_names() if _loads(name) and not study(name).data] == []


def _loads(name):
    """Whether a file of a study takes `load` from the named data sets."""
    from overparam.claims.catalogue import _path

    path = _path(name)
    files = path.parent.glob("*.py") if path.name == "__init__.py" else [path]
    return any("datasets.named import load" in file.read_text() for file in files)
