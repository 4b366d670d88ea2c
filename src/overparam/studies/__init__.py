"""Papers: one file or folder each, found by being there. What runs them is `overparam.claims`."""

from overparam._lazy import attach

_MOVED: dict[str, str] = dict.fromkeys((
    "SIZES", "VERDICTS", "CellsFailed", "Claim", "Header", "Range", "Study", "figure",
    "line_of_means", "load_study", "mean_at", "run_study", "seed_means", "select", "slope",
    "study_header", "study_names", "to_json",
), "overparam.claims")  # fmt: skip
__getattr__, __dir__, __all__ = attach(__name__, __file__, moved=_MOVED)
