"""From measurements to statements: the main job."""

from overparam._lazy import attach

_MOVED = {"Task": "overparam.diagnosis:TrainingTask"}
__getattr__, __dir__, __all__ = attach(__name__, __file__, moved=_MOVED)
