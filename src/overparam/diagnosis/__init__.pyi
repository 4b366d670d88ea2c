from .diagnose import diagnose
from .edge import EdgeTrace, follow_edge
from .result import Diagnosis, Statement
from .task import Examples, Task

__all__ = [
    "Diagnosis",
    "EdgeTrace",
    "Examples",
    "Statement",
    "Task",
    "diagnose",
    "follow_edge",
]
