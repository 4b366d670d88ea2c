"""A table to a cross-validated model that says which columns it uses."""

from overparam.fitting.fit import TableFit, fit
from overparam.fitting.saved_model import SavedModel, load_model
from overparam.fitting.scores import Score
from overparam.fitting.table import Table, read

__all__ = ["SavedModel", "Score", "Table", "TableFit", "fit", "load_model", "read"]
