"""What can be measured along a training run, and the monitor that measures it."""

from overparam.dynamics.agop import agop, agop_alignment, agop_blocks, agop_diagonal
from overparam.dynamics.catapult_map import CatapultOrbit, catapult_map
from overparam.dynamics.catapult_scheduler import CatapultScheduler
from overparam.dynamics.clean_priority import (
    CleanPriorityStop,
    LossMixture,
    StopSignal,
    loss_mixture,
)
from overparam.dynamics.events import CatapultCounter, Event, Spike, SpikeClassifier
from overparam.dynamics.gradient_segments import (
    CleanDominance,
    SegmentGradients,
    clean_dominance,
    gradient_alignment,
    segment_gradients,
)
from overparam.dynamics.label_noise import LabelNoiseScorer
from overparam.dynamics.monitor import Monitor, default_probes
from overparam.dynamics.random_labels import implausible_labels, random_label_share
from overparam.dynamics.spectral_split import SpectralSplit, spectral_loss_split

__all__ = [
    "CatapultCounter",
    "CatapultOrbit",
    "CatapultScheduler",
    "CleanDominance",
    "CleanPriorityStop",
    "Event",
    "LabelNoiseScorer",
    "LossMixture",
    "Monitor",
    "SegmentGradients",
    "SpectralSplit",
    "Spike",
    "SpikeClassifier",
    "StopSignal",
    "agop",
    "agop_alignment",
    "agop_blocks",
    "agop_diagonal",
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
