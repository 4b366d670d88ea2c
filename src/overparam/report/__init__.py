"""One offline HTML page drawn from stored results, and from nothing else."""

from overparam.report.page import render, write_report

__all__ = ["render", "write_report"]
