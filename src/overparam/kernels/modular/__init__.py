"""Arithmetic modulo a prime: the task, and what machines that learn it come to know.

A table of residues (`arithmetic`), the algorithm that does it in one product of transforms
(`fourier`), feature matrices that do it (`operand_features`) and how circulant they are
(`circulance`), and a network whose average gradient outer product has a closed form
(`quadratic_network`).
"""

from overparam._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
