"""Optimal transport that adapts classifiers and finds correspondences, on top of POT.

Needs ``pip install 'overparam[transport]'``; POT is imported when something is computed.
"""

from overparam._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
