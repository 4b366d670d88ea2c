from .diagnose import diagnose
from .edge import EdgeTrace, follow_edge
from .result import Diagnosis, Statement
from .task import Examples, TrainingTask

__all__ = [
    "Diagnosis",
    "EdgeTrace",
    "Examples",
    "Statement",
    "TrainingTask",
    "diagnose",
    "follow_edge",
]
