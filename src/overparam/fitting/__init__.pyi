from .fit import TableFit, fit
from .saved_model import SavedModel, load_model
from .scores import Score
from .table import Table, read

__all__ = ["SavedModel", "Score", "Table", "TableFit", "fit", "load_model", "read"]
