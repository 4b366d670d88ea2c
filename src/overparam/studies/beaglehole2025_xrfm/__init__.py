"""A split along the AGOP gives leaves 85 % of whose features are their own, at a cost in accuracy.

Reference:
    Beaglehole, Holzmüller, Radhakrishnan, Belkin (2025), "xRFM: accurate, scalable, and
    interpretable feature learning models for tabular data", arXiv:2508.10053: trees that split
    at the median along the top eigenvector of an AGOP, with a recursive feature machine in
    every leaf; local features; the ablation of splits on 17 large tables.
Changed:
    Tables are nine regressions of at most 600 rows, one bundled with scikit-learn and eight
    looked for in a folder of data, where the paper has 100; without the eight, claims on tables
    are not testable. Both models are tuned, but not alike: the tree is the best of 12 settings on
    held-out rows, boosting of 4, which favours the tree. With so few rows a tree is one leaf.
    Scaling is asked of errors, not of seconds: with leaves of 500 out of 4000 rows at quick, where
    the tree has 0.47 to 0.69 of the error of one machine on a leaf's rows, and of 5000 out of
    40 000 at full, where it has 0.78, more than the paper's 0.75; why was not looked into. Its
    example of local features is rebuilt on normal inputs in R^20: the sign of x₀ decides between
    x₁ + x₃x₅ + 3 and x₉ + x₁₁x₁₃ − 3; two leaves of 1500 rows. Features are found as claimed. The
    error is *not* lower than that of one machine on all rows: each leaf has half the data, and a
    direction with |v₀| of 0.95 blurs the border; soft routing gives back a part. A split at the
    column of the largest sensitivity, another of the paper's rules, has no blurred border,
    and is better than one machine. All leaves have the published settings; at the power 1/2 of
    the AGOP, to which the estimators default, one machine finds less of this target, and a tree
    has 0.7 to 0.9 times its error. Splits along the first principal component are a control.
    That columns of noise are ignored is asked of scikit-learn's Friedman 1. Rows with ties are
    routed in prediction as in training, which the published implementation does not do.
    Of three or more leaves that counts, too: a draw of full has so many rows of the larger value
    that its node is split again, which was first taken for none.
    With four times the rows columns of noise cost plain kernel ridge less (R² .90 at 6000 rows), so
    that less is left to gain than at quick. The permuted control asks for |v₀| of at most 0.5 of
    each seed. A direction at random
    is beyond that in one draw of 48; one of three was.
Cost:
    Processor time: smoke 4 s, quick 50 s, full 7 minutes.
Failure:
    If leaves did not find their own features, trees would not explain more than one machine. If
    the tree's error were lower, splitting would pay where one machine fits into memory, and the
    advice in the documentation of `AGOPTreeRegressor` would be wrong.
"""

from typing import Any

from overparam.claims.study import Study
from overparam.studies.beaglehole2025_xrfm.claims import CLAIMS, HEADLINES
from overparam.studies.beaglehole2025_xrfm.local import (
    METHODS,
    capped,
    columns_of_noise,
    local_features,
    ties,
)
from overparam.studies.beaglehole2025_xrfm.pictures import figures
from overparam.studies.beaglehole2025_xrfm.tables import BUNDLED, FOUND, SETS, oracle, table

__all__ = ["STUDY"]

SIZES = {
    "smoke": {"rows": 120, "friedman": 100, "capped": 240, "table": 60, "sets": BUNDLED,
              "replicates": 1, "few": 1},
    "quick": {"rows": 3000, "friedman": 1500, "capped": 4000, "table": 600, "sets": SETS,
              "replicates": 3, "few": 1},
    "full": {"rows": 12_000, "friedman": 6000, "capped": 40_000, "table": 600, "sets": SETS,
             "replicates": 5, "few": 3},
}  # fmt: skip


def cells(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The longest first: machines and trees on local features, tables, then noise and ties."""
    rows, each, few = config["rows"], range(config["replicates"]), range(config["few"])
    plan = [({"test": "local", "method": method, "rows": rows}, each) for method in METHODS]
    plan += [
        ({"test": "default power", "method": method, "rows": rows}, few)
        for method in ("one machine", "agop")
    ]
    plan += [
        ({"test": "permuted", "method": "agop", "rows": rows}, few),
        ({"test": "capped", "method": "agop", "rows": config["capped"]}, each),
    ]
    plan += [
        ({"test": "table", "method": name, "rows": config["table"]}, few) for name in config["sets"]
    ]
    plan += [
        ({"test": "noise", "method": method, "rows": config["friedman"]}, each)
        for method in ("diagonal", "kernel ridge")
    ]
    plan += [({"test": "ties", "method": "agop", "rows": 320}, each)]
    plan += [({"test": "oracle", "method": "lpq", "rows": 0}, few)]
    return [{**cell, "replicate": r} for cell, replicates in plan for r in replicates]


def cell(test: str, method: str, rows: int, seed: int) -> dict[str, Any]:
    """One model on one draw of the data."""
    if test == "noise":
        return columns_of_noise(method, rows, seed)
    if test == "table":
        return table(method, rows, seed)
    if test in ("capped", "ties"):
        return capped(rows, seed) if test == "capped" else ties(rows, seed)
    if test == "oracle":
        return oracle(seed)
    power = 0.5 if test == "default power" else 1.0
    return local_features(method, rows, seed, power=power, permuted=test == "permuted")


STUDY = Study(cells, cell, SIZES, CLAIMS, figures, data=FOUND, headlines=HEADLINES)
