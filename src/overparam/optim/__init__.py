"""Optimizers, and their settings from the spectrum of a model."""

from overparam._lazy import attach

_MOVED: dict[str, str] = dict.fromkeys(
    ("loader_constants", "model_constants", "operator_constants", "probed_hyperparameters"),
    "overparam.diagnosis",
)
__getattr__, __dir__, __all__ = attach(
    __name__,
    __file__,
    moved=_MOVED | {"AimingMonitor": "overparam.dynamics"},
    renamed={"sgd_step_size": "aiming_step_size"},
)
