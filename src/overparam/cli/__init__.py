"""The command line: thin commands, each importing what it needs when it runs."""

from overparam._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
