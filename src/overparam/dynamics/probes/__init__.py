"""The measurements a `Monitor` repeats, and what a new one has to offer."""

from overparam._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
