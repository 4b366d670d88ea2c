from .agreement import Agreement, label_agreement
from .classifier import DiscriminantTransportClassifier
from .pot_transport import DiscriminantTransport
from .procrustes import ProcrustesResult, two_sided_wasserstein_procrustes
from .skada_adapter import DiscriminantTransportAdapter
from .two_sided import TwoSidedProcrustes

__all__ = [
    "Agreement",
    "DiscriminantTransport",
    "DiscriminantTransportAdapter",
    "DiscriminantTransportClassifier",
    "ProcrustesResult",
    "TwoSidedProcrustes",
    "label_agreement",
    "two_sided_wasserstein_procrustes",
]
