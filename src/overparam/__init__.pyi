from . import battery as battery
from . import claims as claims
from . import cluster as cluster
from . import clustering as clustering
from . import curvature as curvature
from . import datasets as datasets
from . import diagnosis as diagnosis
from . import dynamics as dynamics
from . import expansions as expansions
from . import federated as federated
from . import fitting as fitting
from . import integrations as integrations
from . import kernels as kernels
from . import linalg as linalg
from . import nets as nets
from . import optim as optim
from . import report as report
from . import search as search
from . import studies as studies
from . import tables as tables
from . import tangents as tangents
from . import transport as transport
from . import watch as watch
from ._memory import memory_limit
from ._version import __version__
from .diagnosis.diagnose import diagnose
from .diagnosis.result import Diagnosis
from .diagnosis.suggest_lr import suggest_lr
from .dynamics.clean_priority import CleanPriorityStop
from .dynamics.label_noise import LabelNoiseScorer
from .dynamics.monitor import Monitor
from .errors import NumericalError, OverparamError
from .expansions.linearized import linearize
from .expansions.quadratized import quadratize
from .fitting.fit import fit
from .fitting.saved_model import load_model
from .kernels.agop_tree import AGOPTreeClassifier, AGOPTreeRegressor
from .kernels.irkm import IRKMClassifier, IRKMRegressor
from .kernels.rfm import RFMClassifier, RFMRegressor
from .optim.critical_rate import critical_learning_rate
from .optim.mass import MaSS
from .tangents.empirical import empirical_ntk
from .tangents.infinite.dense import infinite_ntk
from .tangents.input_gradients import agop
from .tangents.operator import NTKOperator
from .tangents.spectrum import extreme_eigenvalues

__all__ = [
    "AGOPTreeClassifier",
    "AGOPTreeRegressor",
    "CleanPriorityStop",
    "Diagnosis",
    "IRKMClassifier",
    "IRKMRegressor",
    "LabelNoiseScorer",
    "MaSS",
    "Monitor",
    "NTKOperator",
    "NumericalError",
    "OverparamError",
    "RFMClassifier",
    "RFMRegressor",
    "__version__",
    "agop",
    "critical_learning_rate",
    "diagnose",
    "empirical_ntk",
    "extreme_eigenvalues",
    "fit",
    "infinite_ntk",
    "linearize",
    "load_model",
    "memory_limit",
    "quadratize",
    "suggest_lr",
]
