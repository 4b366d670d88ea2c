"""The PL* condition of a network: certificates, estimates along training, step sizes from it."""

from overparam.tangents.pl.certificate import PLCertificate, pl_certificate
from overparam.tangents.pl.estimate import PLEstimate, pl_estimate
from overparam.tangents.pl.jacobian_smoothness import two_layer_smoothness
from overparam.tangents.pl.step_sizes import Schedule, gd_step_size, pl_down_to, sgd_step_size
from overparam.tangents.pl.trace import PLTrace, pl_trace

__all__ = [
    "PLCertificate",
    "PLEstimate",
    "PLTrace",
    "Schedule",
    "gd_step_size",
    "pl_certificate",
    "pl_down_to",
    "pl_estimate",
    "pl_trace",
    "sgd_step_size",
    "two_layer_smoothness",
]
