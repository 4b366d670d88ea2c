"""One round of all clients that take part, with whatever fails left out of every sum."""

from dataclasses import dataclass

import torch
from torch import Tensor

from overparam._checked import checked
from overparam._errors import expect
from overparam.federated.algorithms.algorithm import Algorithm, Gradient, State


@dataclass(frozen=True)
class Report:
    """What a group of clients sent, added up.

    Attributes:
        total: Sums of what they sent, as `Algorithm.update` takes them.
        weight: The sum of their weights.
        clients: Their rows after the round; of those that did not report, as before.
        kept: (s,) which of them reported finite numbers.
        delta: (s, P) changes of the model, those of clients that are not kept included.
    """

    total: State
    weight: float
    clients: State
    kept: Tensor
    delta: Tensor


@dataclass(frozen=True)
class RoundOutcome:
    """A round's results.

    Attributes:
        server: The server's state after it.
        clients: The rows of the clients that took part, after it.
        kept: (s,) which of them are in the sums.
    """

    server: State
    clients: State
    kept: Tensor


def report(
    algorithm: Algorithm,
    server: State,
    clients: State,
    gradient: Gradient,
    steps: Tensor,
    weights: Tensor,
    reached: Tensor,
) -> Report:
    """What some clients of a round send; a client whose numbers are not finite sends nothing.

    It is then missing from every sum and keeps its state, so that c stays the mean of the c_i.
    """
    sent, after = algorithm.local(server, clients, gradient, steps)
    kept = reached.clone()
    for rows in (*sent.values(), *after.values()):
        kept &= torch.isfinite(rows).all(dim=1)
    if not bool(kept.all()):
        after = {name: torch.where(kept[:, None], after[name], clients[name]) for name in after}
    everything = bool(kept.all())
    total = {}
    for name, rows in sent.items():
        rows, weight = (rows, weights) if everything else (rows[kept], weights[kept])
        total[name] = rows.sum(0) if name in algorithm.SUMMED else weight.to(rows.dtype) @ rows
    return Report(total, float(weights[kept].sum()), after, kept, sent["delta"])


def concluded(algorithm: Algorithm, server: State, reports: list[Report], n_clients: int) -> State:
    """The server's state after a round whose clients reported in groups."""
    weight = sum(part.weight for part in reports)
    if weight == 0:
        return server
    total = {name: sum(part.total[name] for part in reports) for name in reports[0].total}
    return algorithm.update(server, total, weight, n_clients)  # type: ignore[arg-type]


@checked
def run_round(
    algorithm: Algorithm,
    server: dict[str, Tensor],
    clients: dict[str, Tensor],
    gradient: Gradient,
    steps: Tensor,
    n_clients: int,
    weights: Tensor | None = None,
    reached: Tensor | None = None,
) -> RoundOutcome:
    """A round of s clients, as a pure function.

    Args:
        algorithm: What they do.
        server: From `algorithm.server_state`, or the round before.
        clients: Rows of those that take part, from `algorithm.client_state`, or their last round.
        gradient: `gradient(w, step)` at the rows of w, (s, P).
        steps: (s,) local steps of each, at least 1.
        n_clients: N ≥ s, all that are registered: the number c is a mean over.
        weights: (s,) weights of their changes, > 0; `None` weighs all alike. The correction is
            never weighted.
        reached: (s,) whether what each sends arrives. Of the others, and of those whose numbers
            are not finite, nothing enters any sum, and they keep their state.

    Raises:
        ValueError: If the lengths do not fit.

    Example:
        >>> import torch
        >>> centres = torch.tensor([[0.0], [2.0]])
        >>> from overparam.federated.algorithms import Scaffold
        >>> algorithm = Scaffold(lr=0.1)
        >>> server = algorithm.server_state(torch.zeros(1))
        >>> clients = algorithm.client_state(2, server["x"])
        >>> for _ in range(50):
        ...     done = run_round(
        ...         algorithm, server, clients, lambda w, k: w - centres, torch.tensor([5, 5]), 2
        ...     )
        ...     server, clients = done.server, done.clients
        >>> round(float(server["x"]), 4)
        1.0
    """
    whole = steps.ndim == 1 and not steps.is_floating_point() and steps.dtype != torch.bool
    expect(whole, "run_round(steps=...)", "a row of whole numbers",
           f"the shape {tuple(steps.shape)} and {steps.dtype}")  # fmt: skip
    s = len(steps)
    expect(
        s >= 1 and bool((steps >= 1).all()), "run_round(steps=...)",
        "a number of steps ≥ 1 for each client", steps.tolist()[:8],
    )  # fmt: skip
    expect(
        n_clients >= s, "run_round(n_clients=...)",
        f"all registered clients, {s} or more", n_clients,
        hint="the clients that take part are some of them.",
    )  # fmt: skip
    weights = torch.ones(s) if weights is None else weights
    reached = torch.ones(s, dtype=torch.bool) if reached is None else reached
    for name, value in (("weights", weights), ("reached", reached)):
        expect(value.shape == (s,), f"run_round({name}=...)", f"{s} values", tuple(value.shape))
    expect(bool((weights > 0).all()), "run_round(weights=...)", "weights > 0", weights.tolist())
    names = set(algorithm.client_state(1, server["x"]))
    expect(
        set(clients) == names, "run_round(clients=...)",
        f"the state of {type(algorithm).__name__}: {sorted(names)}", sorted(clients),
    )  # fmt: skip
    found = report(algorithm, server, clients, gradient, steps, weights, reached)
    return RoundOutcome(concluded(algorithm, server, [found], n_clients), found.clients, found.kept)
