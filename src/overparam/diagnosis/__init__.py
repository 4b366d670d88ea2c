"""From measurements to statements: the main job."""

from overparam._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__, renamed={"Task": "TrainingTask"})
