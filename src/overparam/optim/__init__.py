"""Optimizers, and their settings from the spectrum of a model."""

from overparam._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
