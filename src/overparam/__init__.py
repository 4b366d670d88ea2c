"""Measure, explain and train over-parameterized PyTorch models.

The names below are what the README uses; everything else is reached through its package, such
as `overparam.tangents`. Nothing is loaded before it is used, so that the command line can
answer without PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from overparam._deprecated import register

if TYPE_CHECKING:
    from overparam.diagnosis.diagnose import diagnose as diagnose
    from overparam.diagnosis.result import Diagnosis as Diagnosis
    from overparam.dynamics.agop import agop as agop
    from overparam.dynamics.label_noise import LabelNoiseScorer as LabelNoiseScorer
    from overparam.dynamics.monitor import Monitor as Monitor
    from overparam.expansions.linearized import linearize as linearize
    from overparam.expansions.quadratized import quadratize as quadratize
    from overparam.kernels.irkm import IRKMRegressor as IRKMRegressor
    from overparam.kernels.rfm import RFMClassifier as RFMClassifier
    from overparam.kernels.rfm import RFMRegressor as RFMRegressor
    from overparam.optim.mass import MaSS as MaSS
    from overparam.optim.stability import critical_learning_rate as critical_learning_rate
    from overparam.tangents.empirical import empirical_ntk as empirical_ntk
    from overparam.tangents.infinite.dense import infinite_ntk as infinite_ntk
    from overparam.tangents.operator import NTKOperator as NTKOperator

register()

# Where each name is defined.
_DEFINED = {
    # the main job
    "Diagnosis": "overparam.diagnosis.result",
    "diagnose": "overparam.diagnosis.diagnose",
    # in your own training loop
    "LabelNoiseScorer": "overparam.dynamics.label_noise",
    "MaSS": "overparam.optim.mass",
    "Monitor": "overparam.dynamics.monitor",
    "agop": "overparam.dynamics.agop",
    "critical_learning_rate": "overparam.optim.stability",
    # a table
    "IRKMRegressor": "overparam.kernels.irkm",
    "RFMClassifier": "overparam.kernels.rfm",
    "RFMRegressor": "overparam.kernels.rfm",
    # the tangent kernel
    "NTKOperator": "overparam.tangents.operator",
    "empirical_ntk": "overparam.tangents.empirical",
    "infinite_ntk": "overparam.tangents.infinite.dense",
    "linearize": "overparam.expansions.linearized",
    "quadratize": "overparam.expansions.quadratized",
}

__all__ = [
    "Diagnosis",
    "IRKMRegressor",
    "LabelNoiseScorer",
    "MaSS",
    "Monitor",
    "NTKOperator",
    "RFMClassifier",
    "RFMRegressor",
    "agop",
    "critical_learning_rate",
    "diagnose",
    "empirical_ntk",
    "infinite_ntk",
    "linearize",
    "quadratize",
]


def __getattr__(name: str) -> Any:
    if name in _DEFINED:
        return getattr(import_module(_DEFINED[name]), name)
    raise AttributeError(f"module 'overparam' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
