"""Independent computations on the workers of Dask or Ray, through joblib."""

from overparam._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
