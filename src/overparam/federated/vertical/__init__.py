"""Columns split over parties, labels at a server: training by noised scalars, and its privacy.

The guarantee is about what parties receive: labels, and everything else that the server knows,
against parties that are honest and curious. Nothing protects the embeddings that parties send
from the server, and a choice of settings that looks at the same data is not counted.
"""

from overparam._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
