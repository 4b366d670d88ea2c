"""A page in the browser that follows a training run while it goes on."""

from overparam._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
