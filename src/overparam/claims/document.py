"""What a study found out, as plain data."""

from typing import TYPE_CHECKING, Any

from overparam._environment import environment
from overparam._json import strict
from overparam._json import to_json as to_json
from overparam.claims.provenance import provenance
from overparam.claims.study import Study

if TYPE_CHECKING:
    import pandas as pd


def study_document(
    study: Study, size: str, seed: int, table: "pd.DataFrame", seconds: float, cell_seconds: float
) -> dict[str, Any]:
    """Claims with their verdicts, and figures, without NaN or infinity.

    Args:
        study: Whose cells were computed.
        size: Which of them.
        seed: The study's.
        table: The finished cells.
        seconds: Wall time of this run, reused cells excluded.
        cell_seconds: Time all cells took when they were computed, reused ones included.
    """
    return strict(
        {
            "kind": "study",
            "study": study.name,
            "title": study.header.title,
            "reference": study.header.reference,
            "changed": study.header.changed,
            "cost": study.header.cost,
            "failure": study.header.failure,
            "headlines": list(study.headlines),
            "size": size,
            "seed": seed,
            # One thread per cell, always: so the number of jobs changes no bit of a result.
            "environment": environment(
                seconds=seconds,
                seed=seed,
                threads=1,
                cell_seconds=cell_seconds,
                **provenance(study),
            ),
            "seconds": seconds,
            "claims": [claim.judge(table, size) for claim in study.claims],
            "series": study.figures(table) if _some(table) else {},
        }
    )


def _some(table: "pd.DataFrame") -> bool:
    """Whether a cell had anything to compute with, so that there is something to draw."""
    return "absent" not in table or bool(table["absent"].isna().any())
