"""Every figure of the report, as plain data that Plotly draws in the browser."""

from overparam.report.figures.diagnosis import diagnosis_figures
from overparam.report.figures.figure import Figure, Table
from overparam.report.figures.study import study_figures

__all__ = ["Figure", "Table", "diagnosis_figures", "study_figures"]
