"""Measure, explain and train over-parameterized PyTorch models.

The names below are what the README uses; everything else is reached through its package, such
as `overparam.tangents`. Nothing is loaded before it is used, so that the command line can
answer without PyTorch.
"""

from overparam._deprecated import register
from overparam._lazy import attach

register()
__getattr__, __dir__, __all__ = attach(__name__, __file__)
