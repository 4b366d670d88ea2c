"""What a search by soft actor-critic is told, and what it does where it is told nothing."""

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from overparam._checked import checked
from overparam._types import Count, Positive, Range, Share

Regularisation: TypeAlias = Literal["none", "mixture", "hierarchical"]
Discount: TypeAlias = Annotated[float, Range("a number in [0, 1)", lambda v: 0 <= v < 1)]
# A larger one fits into no memory; a larger rate is no rate.
Width: TypeAlias = Annotated[int, Range("an integer from 1 to 4096", lambda v: 1 <= v <= 4096)]
Rate: TypeAlias = Annotated[float, Range("a number in (0, 1]", lambda v: 0 < v <= 1)]


@checked
@dataclass(frozen=True)
class SACSettings:
    """Constants of the agent; the defaults are those of the study `liu2021_sac_search`.

    Args:
        regularisation: How replayed trials are mixed before the critics learn from them. "none":
            not at all. "mixture": λ of one and 1 − λ of another, inputs and targets alike.
            "hierarchical": the same, but good trials are replayed more often and mixed only with
            those at least as good: a reading of the paper's name for it, whose text was not
            available.
        mixture_beta: b of λ ~ Beta(b, b).
        n_levels: Levels by score; a trial is replayed twice as often as one a level below.
        gamma: Discount from one trial to the next. Anything but 0 hurt at the budgets of
            hyper-parameter search: with 0 the critics are a model of the score.
        updates: Steps of all networks after each trial.
        batch_size: Trials a step, drawn with replacement.
        hidden: Width of the two hidden layers of the actor and of both critics.
        lr: Of Adam, for the networks and the temperature.
        tau: Share by which the target critics move; of use only where `gamma` is not 0.
        init_alpha: The temperature at the start.
        target_entropy: Of the policy before it is squashed, in nats; None is minus the number
            of dimensions.
        episode_length: Trials after which the return is cut off; likewise.
    """

    regularisation: Regularisation = "mixture"
    mixture_beta: Positive = 0.5
    n_levels: Count = 4
    gamma: Discount = 0.0
    updates: Count = 30
    batch_size: Width = 64
    hidden: Width = 64
    lr: Rate = 3e-3
    tau: Share = 0.05
    init_alpha: Positive = 0.1
    target_entropy: float | None = None
    episode_length: Count = 10
