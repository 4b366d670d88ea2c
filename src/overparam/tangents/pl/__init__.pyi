from .certificate import PLCertificate, pl_certificate
from .estimate import PLEstimate, pl_estimate
from .jacobian_smoothness import two_layer_smoothness
from .step_sizes import Schedule, gd_step_size, pl_down_to, sgd_step_size
from .trace import PLTrace, pl_trace

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
