from .aiming_monitor import AimingMonitor
from .catapult_counter import CatapultCounter
from .catapult_map import CatapultOrbit, catapult_map
from .catapult_scheduler import CatapultScheduler
from .clean_priority import (
    CleanPriorityStop,
    LossMixture,
    StopSignal,
    loss_mixture,
)
from .events import Event, Spike, SpikeClassifier
from .gradient_segments import (
    CleanDominance,
    SegmentGradients,
    clean_dominance,
    gradient_alignment,
    segment_gradients,
)
from .label_noise import LabelNoiseScorer
from .monitor import Monitor
from .probes.defaults import default_probes
from .probes.probe import Probe, Scene
from .random_labels import implausible_labels, random_label_share
from .spectral_split import SpectralSplit, spectral_loss_split
from .spikes.early_warning import EarlyWarning

__all__ = [
    "AimingMonitor",
    "CatapultCounter",
    "CatapultOrbit",
    "CatapultScheduler",
    "CleanDominance",
    "CleanPriorityStop",
    "EarlyWarning",
    "Event",
    "LabelNoiseScorer",
    "LossMixture",
    "Monitor",
    "Probe",
    "Scene",
    "SegmentGradients",
    "SpectralSplit",
    "Spike",
    "SpikeClassifier",
    "StopSignal",
    "catapult_map",
    "clean_dominance",
    "default_probes",
    "gradient_alignment",
    "implausible_labels",
    "loss_mixture",
    "random_label_share",
    "segment_gradients",
    "spectral_loss_split",
]
