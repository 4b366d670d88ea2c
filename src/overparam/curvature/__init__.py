"""The curvature of a loss, or of one output, as operators that are never formed."""

from overparam._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
