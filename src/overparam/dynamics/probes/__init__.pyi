from .input_gradients import InputGradients
from .kernel import KernelChange, LossSplit
from .norms import Norms
from .probe import Kind, Probe, Scene
from .sharpness import BatchCriticalRate, Sharpness

__all__ = [
    "BatchCriticalRate",
    "InputGradients",
    "KernelChange",
    "Kind",
    "LossSplit",
    "Norms",
    "Probe",
    "Scene",
    "Sharpness",
]
