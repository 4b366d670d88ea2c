"""Kernel machines that learn features: kernels with a feature matrix, and what updates it."""

from overparam._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
