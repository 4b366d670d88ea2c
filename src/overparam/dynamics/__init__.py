"""What can be measured along a training run, and the monitor that measures it."""

from overparam._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
