"""Published claims, one file per paper, each checked by computing it."""

from overparam._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
