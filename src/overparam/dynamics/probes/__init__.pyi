from .gradient_noise import GradientNoise
from .input_gradients import InputGradients
from .kernel import KernelChange, LossSplit
from .norms import Norms
from .probe import Kind, Probe, Scene
from .sharpness import BatchCriticalRate, Sharpness

__all__ = [
    "BatchCriticalRate",
    "GradientNoise",
    "InputGradients",
    "KernelChange",
    "Kind",
    "LossSplit",
    "Norms",
    "Probe",
    "Scene",
    "Sharpness",
]
