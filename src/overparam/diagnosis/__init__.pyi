from .diagnose import diagnose
from .edge import EdgeTrace, follow_edge
from .examples import Examples
from .mass_for_model import mass_for_model, probed_hyperparameters
from .model_constants import loader_constants, model_constants, operator_constants
from .result import Diagnosis, Statement
from .suggest_lr import suggest_lr
from .suggested_rate import SuggestedRate
from .task import TrainingTask

__all__ = [
    "Diagnosis",
    "EdgeTrace",
    "Examples",
    "Statement",
    "SuggestedRate",
    "TrainingTask",
    "diagnose",
    "follow_edge",
    "loader_constants",
    "mass_for_model",
    "model_constants",
    "operator_constants",
    "probed_hyperparameters",
    "suggest_lr",
]
