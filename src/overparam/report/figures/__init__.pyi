from .diagnosis import diagnosis_figures
from .figure import Figure, Table
from .study import study_figures

__all__ = ["Figure", "Table", "diagnosis_figures", "study_figures"]
