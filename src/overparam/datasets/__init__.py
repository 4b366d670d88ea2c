"""Data as numpy arrays with a standard split: named sets, the user's files, and their scaling."""

from overparam.datasets.dataset import Dataset
from overparam.datasets.files import load_file, parse_source, resolve
from overparam.datasets.named import load, names
from overparam.datasets.preparation import Prepared, prepare

__all__ = [
    "Dataset",
    "Prepared",
    "load",
    "load_file",
    "names",
    "parse_source",
    "prepare",
    "resolve",
]
