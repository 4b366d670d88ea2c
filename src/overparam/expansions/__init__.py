"""A network, or its loss, as its first or second Taylor polynomial in the parameters."""

from overparam._lazy import attach

_MOVED: dict[str, str] = dict.fromkeys(
    ("GGNOperator", "HessianOperator", "hessian_norm"), "overparam.curvature"
)
__getattr__, __dir__, __all__ = attach(__name__, __file__, moved=_MOVED)
