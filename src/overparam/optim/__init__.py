"""Optimizers, and their settings from the spectrum of a model."""

from overparam._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    __file__,
    moved={"AimingMonitor": "overparam.dynamics"},
    renamed={"sgd_step_size": "aiming_step_size"},
)
