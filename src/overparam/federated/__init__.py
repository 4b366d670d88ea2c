"""Learning across sites: many clients in one process, without a server, or split by columns.

The algorithms themselves are in `overparam.federated.algorithms`.
"""

from overparam._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
