"""One reader of tables: what a column is, learned once, so that values mean the same later."""

from overparam._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
