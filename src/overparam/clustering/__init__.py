"""Clustering with Bregman divergences: those for which the mean is the right centre."""

from overparam._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
