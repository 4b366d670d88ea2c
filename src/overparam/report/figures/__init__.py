"""Every figure of the report, as plain data that Plotly draws in the browser."""

from overparam._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
