"""What can be measured along a training run, and the monitor that measures it."""

from overparam._lazy import attach

_MOVED: dict[str, str] = dict.fromkeys(
    ("agop", "agop_alignment", "agop_blocks", "agop_diagonal"), "overparam.tangents"
)
__getattr__, __dir__, __all__ = attach(__name__, __file__, moved=_MOVED)
