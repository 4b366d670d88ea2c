"""The PL* condition of a network: certificates, estimates along training, step sizes from it."""

from overparam._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
