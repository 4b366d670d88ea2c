"""Words for yes and no."""

import numpy as np

_PAIRS = (
    "yes no", "y n", "true false", "t f", "on off", "ja nein", "j n", "wahr falsch", "oui non",
    "o n", "vrai faux", "sí no", "si no", "s n", "sim não", "1 0",
)  # fmt: skip
TRUE = frozenset(pair.split()[0] for pair in _PAIRS) | {"1.0"}
FALSE = frozenset(pair.split()[1] for pair in _PAIRS) | {"0.0"}


def truth(value: object) -> float:
    """1 for yes, 0 for no, NaN for anything else.

    Example:
        >>> truth("Yes"), truth(False), truth(1.0), truth("perhaps")
        (1.0, 0.0, 1.0, nan)
    """
    if isinstance(value, bool | float | int):
        return float(value) if value in (0, 1) else np.nan
    if not isinstance(value, str):
        return np.nan
    word = value.casefold()
    return 1.0 if word in TRUE else 0.0 if word in FALSE else np.nan
