"""Hyper-parameter search by soft actor-critic: by itself, and as a sampler of Optuna.

It beats random search and little else; when it is worth its time is said in the documentation.
`SACSampler` and `tune` need the extra `search`.
"""

from overparam._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
