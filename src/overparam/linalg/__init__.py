"""Symmetric operators and their spectra: from a matrix, or from products with vectors alone."""

from overparam._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
