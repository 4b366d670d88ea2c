from .divergence import BregmanDivergence
from .k_means import BregmanKMeans
from .mini_batch import MiniBatchBregmanKMeans
from .mixture import BregmanMixture
from .named import named_divergence
from .quantization import CenterDensity, asymptotic_center_density, quantization_constant
from .spherical import SphericalKMeans

__all__ = [
    "BregmanDivergence",
    "BregmanKMeans",
    "BregmanMixture",
    "CenterDensity",
    "MiniBatchBregmanKMeans",
    "SphericalKMeans",
    "asymptotic_center_density",
    "named_divergence",
    "quantization_constant",
]
