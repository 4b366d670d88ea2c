"""Electrodes by design: from how one is made to what it gives, and back.

A process model (`process.py`) makes a structure of process parameters; a porous-electrode model
(`simulation.py`, on PyBaMM) says what that structure gives; many are simulated as cells of a
store (`runs.py`). A window is explored (`exploration.py`): designs spread over it
(`sampling.py`), a surrogate of what they give (`surrogate.py`), its Pareto front by NSGA-II
(`front.py`, on pymoo), and simulations of what that proposes. `design.py` puts it together, with
what each parameter does (`effects.py`) and what follows (`statements.py`); `inverse.py` goes from
wanted numbers to parameters. Needs the extra `battery`.
"""

from overparam._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
