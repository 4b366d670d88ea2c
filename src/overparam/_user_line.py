"""The line of the user's that a warning is about."""

import sys
from types import FrameType

# What may lie between two functions of ours: decorators of theirs, and loops that call estimators.
_BETWEEN = {
    "overparam", "torch", "contextlib", "functools", "beartype", "jaxtyping", "sklearn", "joblib",
    "optuna",
}  # fmt: skip


def user_level() -> int:
    """The `stacklevel` with which a warning of the caller names the line that led to it."""
    frame: FrameType | None = sys._getframe(1)
    level = 1
    while frame is not None and _package(frame) in _BETWEEN:
        frame, level = frame.f_back, level + 1
    return level


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
