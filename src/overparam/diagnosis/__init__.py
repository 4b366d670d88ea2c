"""From measurements to statements: the main job."""

from overparam.diagnosis.diagnose import diagnose
from overparam.diagnosis.edge import EdgeTrace, follow_edge
from overparam.diagnosis.result import Diagnosis, Statement

__all__ = ["Diagnosis", "EdgeTrace", "Statement", "diagnose", "follow_edge"]
