from .ask_and_tell import SACSearch
from .sampler import SACSampler
from .settings import SACSettings
from .tuning import tune

__all__ = ["SACSampler", "SACSearch", "SACSettings", "tune"]
