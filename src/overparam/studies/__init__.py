"""Published claims, one file per paper, each checked by computing it."""

from overparam._json import to_json
from overparam.studies._catalogue import load_study, study_header, study_names
from overparam.studies._claims import SIZES, VERDICTS, Claim, Range
from overparam.studies._figures import figure, line_of_means
from overparam.studies._headers import Header
from overparam.studies._run import CellsFailed, run_study
from overparam.studies._statistics import mean_at, seed_means, select, slope
from overparam.studies._study import Study

__all__ = [
    "SIZES",
    "VERDICTS",
    "CellsFailed",
    "Claim",
    "Header",
    "Range",
    "Study",
    "figure",
    "line_of_means",
    "load_study",
    "mean_at",
    "run_study",
    "seed_means",
    "select",
    "slope",
    "study_header",
    "study_names",
    "to_json",
]
