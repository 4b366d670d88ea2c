from .accountant import (
    NoisePlan,
    PrivacySpec,
    gaussian_delta,
    gaussian_epsilon,
    gaussian_mu,
    plan_noise,
    spent_epsilon,
)
from .channel import Channel, Message
from .distributed import ServedRun, join_vertical, serve_vertical
from .dpzv import DPZV
from .training import VerticalData, VerticalRun, train_vertical
from .zeroth_order import direction, two_point

__all__ = [
    "DPZV",
    "Channel",
    "Message",
    "NoisePlan",
    "PrivacySpec",
    "ServedRun",
    "VerticalData",
    "VerticalRun",
    "direction",
    "gaussian_delta",
    "gaussian_epsilon",
    "gaussian_mu",
    "join_vertical",
    "plan_noise",
    "serve_vertical",
    "spent_epsilon",
    "train_vertical",
    "two_point",
]
