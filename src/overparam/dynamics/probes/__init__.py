"""The measurements a `Monitor` repeats, and what a new one has to offer."""

from overparam.dynamics.probes.input_gradients import InputGradients
from overparam.dynamics.probes.kernel import KernelChange, LossSplit
from overparam.dynamics.probes.norms import Norms
from overparam.dynamics.probes.probe import Probe, Scene
from overparam.dynamics.probes.sharpness import BatchCriticalRate, Sharpness

__all__ = [
    "BatchCriticalRate",
    "InputGradients",
    "KernelChange",
    "LossSplit",
    "Norms",
    "Probe",
    "Scene",
    "Sharpness",
]
