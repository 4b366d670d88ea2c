from ._catalogue import load_study, study_header, study_names
from ._claims import SIZES, VERDICTS, Claim, Range
from ._document import to_json
from ._figures import figure, line_of_means
from ._headers import Header
from ._run import CellsFailed, run_study
from ._statistics import mean_at, seed_means, select, slope
from ._study import Study

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
