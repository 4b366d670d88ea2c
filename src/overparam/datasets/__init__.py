"""Data as numpy arrays with a standard split: named sets, the user's files, and their scaling."""

from overparam._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
