"""A table to a cross-validated model that says which columns it uses."""

from overparam._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
