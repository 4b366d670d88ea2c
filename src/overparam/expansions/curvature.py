"""The old place of what is in `overparam.curvature`, until 0.3."""

from overparam._deprecated import moved

__getattr__ = moved(
    __name__,
    {
        "GGNOperator": "overparam.curvature",
        "HessianOperator": "overparam.curvature",
    },
)
