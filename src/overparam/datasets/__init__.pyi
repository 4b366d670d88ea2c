from .dataset import Dataset
from .files import load_file, parse_source, resolve
from .named import load, names
from .preparation import Prepared, prepare

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
