"""Who averages with whom where there is no server: random mixing, its closed forms, a planner.

V is the mean squared distance of n models from their mean. A round of mixing with fresh random
draws multiplies its expectation by the consensus factor β, exactly, and moves the mean by a
distance whose square is d·V on average, since rows are averages and columns are not. What matters
is the sum τ = β + d: models that agree on a noisy mean have not averaged well.
"""

from overparam._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
