from .catalogue import load_study, study_header, study_names
from .claim import CRITERIA, KINDS, SIZES, VERDICTS, Claim, Moved, Range
from .document import to_json
from .figures import figure, line_of_means
from .header import Header
from .run import CellsFailed, run_study
from .statistics import mean_at, seed_means, select, slope
from .study import Study

__all__ = [
    "CRITERIA",
    "KINDS",
    "SIZES",
    "VERDICTS",
    "CellsFailed",
    "Claim",
    "Header",
    "Moved",
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
