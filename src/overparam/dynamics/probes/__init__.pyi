from .input_gradients import InputGradients
from .kernel import KernelChange, LossSplit
from .norms import Norms
from .probe import Probe, Scene
from .sharpness import BatchCriticalRate, Sharpness

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
