"""Federated algorithms as pure functions of stacked tensors, one row for each client."""

from overparam._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
