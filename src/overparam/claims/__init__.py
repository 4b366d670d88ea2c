"""What a published claim is, how its cells are computed, and how its verdict follows from them.

A study states cells and claims (`study.py`, `claim.py`); `run.py` sends the cells through joblib
(`parallel.py`) into a file (`store.py`), under keys that change with the code they came from
(`fingerprint.py`), and hands the table of finished cells to the claims (`statistics.py`) and to
the figures (`figures.py`). The papers themselves stand in `overparam.studies`, where
`catalogue.py` finds them and reads what they say of themselves (`header.py`).
"""

from overparam._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
