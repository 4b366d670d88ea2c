"""Sample a process window, fit a surrogate, search it, check what it proposes; and again."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from overparam._errors import expect
from overparam._progress import Tell
from overparam.battery.front import GENERATIONS, nondominated, search_front, spread
from overparam.battery.process import ProcessModel
from overparam.battery.sampling import sampled_designs
from overparam.battery.surrogate import FOLDS, Surrogate

# Below this share of the variance a surrogate is not searched.
TRUSTED = 0.8
FEWEST = 2 * FOLDS


@dataclass(frozen=True, eq=False)
class Exploration:
    """What was evaluated, and what the surrogate makes of it.

    Attributes:
        table: What `evaluate` gave for each design, with its `stage` ("sampled"; "proposed" by
            the surrogate and used for its last fit; "checked", proposed after that), and
            `front`, whether no other one beats it.
        surrogate: Fitted to all designs but the checked ones.
        front: The surrogate's own front, parameters and predictions; empty where it predicts too
            badly to be searched.
    """

    table: pd.DataFrame
    surrogate: Surrogate
    front: pd.DataFrame


def explore(
    process: ProcessModel,
    surrogate: Surrogate,
    evaluate: Callable[[Float[np.ndarray, "n d"]], pd.DataFrame],
    *,
    budget: int,
    rounds: int = 2,
    trusted: float = TRUSTED,
    generations: int = GENERATIONS,
    tell: Tell = lambda stage, done: None,
) -> Exploration:
    """Half of a budget spread over the window, the other half where a surrogate points.

    Args:
        process: Whose window is explored.
        surrogate: To be fitted; its seed is that of everything random.
        evaluate: Objectives of designs, NaN where there are none; a row for each, which also has
            the parameters and, in words, the `failure`.
        budget: Designs to evaluate.
        rounds: In how many parts the second half is proposed; the surrogate is fitted anew
            before each.
        trusted: The R² below which it is not searched; one that was not judged is.
        generations: Of each search, as for `search_front`.
        tell: Is told of stages.

    Raises:
        ValueError: If fewer than ten of the sampled designs have objectives.
    """
    sampled = sampled_designs(process, budget - budget // 2, surrogate.seed)
    table = evaluate(sampled).assign(stage="sampled")
    front = pd.DataFrame()
    for left in range(rounds, 0, -1):
        tell("searching the front", 0.0)
        fit_to(surrogate, table)
        front = _searched(process, surrogate, trusted, generations)
        tell("searching the front", 1.0)
        if not len(front):
            break
        count = (budget - len(table)) // left
        some = front.iloc[spread(front[list(surrogate.objectives)].to_numpy(), count)]
        stage = "checked" if left == 1 else "proposed"
        new = evaluate(some[list(process.bounds)].to_numpy()).assign(stage=stage)
        table = pd.concat([table, new], ignore_index=True)
    table["front"] = False
    known = table[list(surrogate.objectives)].dropna()
    table.loc[known.index, "front"] = nondominated(known.to_numpy())
    return Exploration(table, surrogate, front)


def fit_to(surrogate: Surrogate, table: pd.DataFrame) -> None:
    """Fit a surrogate to the designs whose objectives are known."""
    names, parameters = list(surrogate.objectives), list(surrogate.bounds)
    known = table.dropna(subset=names)
    failures = [f" ({words})" for words in table["failure"] if words] or [""]
    expect(
        len(known) >= FEWEST,
        "explore(...)",
        f"simulations of {FEWEST} designs that succeed",
        f"{len(known)} of {len(table)}{failures[0]}",
        "look at the structures that the process model makes.",
    )
    surrogate.fit(known[parameters].to_numpy(), known[names].to_numpy())


def _searched(
    process: ProcessModel, surrogate: Surrogate, trusted: float, generations: int
) -> pd.DataFrame:
    """The surrogate's front, parameters and predictions; empty if it predicts too badly."""
    found = np.empty((0, len(process.bounds)))
    if min((quality.r2 for quality in surrogate.quality.values()), default=np.inf) >= trusted:
        found = search_front(
            surrogate.predict, process, generations=generations, seed=surrogate.seed
        )
    predicted = surrogate.predict(found) if len(found) else np.empty((0, 2))
    columns = [*process.bounds, *surrogate.objectives]
    return pd.DataFrame(np.hstack([found, predicted]), columns=columns)
