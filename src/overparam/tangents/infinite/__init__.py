"""The kernels of infinitely wide networks: dense, convolutional, and as a Gaussian process."""

from overparam._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
