"""The tangent kernel of finite and infinitely wide networks; gradients by the inputs too."""

from overparam._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
