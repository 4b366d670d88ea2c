from overparam.search import SACSampler
from overparam.search import SACSettings


__all__ = ["SACSampler", "SACSettings"]
