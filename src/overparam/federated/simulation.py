"""Federated training of many clients in one process."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from overparam._checked import checked
from overparam._files import Name
from overparam._model import undisturbed
from overparam._progress import Progress
from overparam._types import Count, Loss, Natural
from overparam.federated.algorithms.algorithm import Algorithm
from overparam.federated.clients import ClientData
from overparam.federated.engine.choice import Engine
from overparam.federated.participation import Participation
from overparam.federated.running import FederatedRun, Simulation


@checked
def simulate(
    model: nn.Module,
    clients: ClientData,
    algorithm: Algorithm,
    *,
    rounds: Count,
    loss: Loss = cross_entropy,
    local_steps: int | Sequence[int] = 10,
    batch_size: Count = 20,
    participation: Participation | None = None,
    weighting: Literal["uniform", "examples"] = "uniform",
    test: tuple[Tensor, Tensor] | None = None,
    test_every: Count = 1,
    engine: Engine = "auto",
    chunk_size: Count | None = None,
    checkpoint: Name | None = None,
    checkpoint_every: Count = 1,
    progress: Progress = True,
    seed: Natural = 0,
) -> FederatedRun:
    """Train a model across clients that share an algorithm and no data, all in this process.

    All clients of a round are one tensor program. Batches, participation and failures are drawn
    from hashes of the seed, the round, the client and the step: they are the same for every
    engine and algorithm, and a run that was killed goes on with the same bits.

    Args:
        model: Where training starts; it is left as it was. Any module whose outputs depend on
            one example each and which draws nothing at random; batch norm is refused. Parameters
            that require no gradient are the same for all and stay.
        clients: Who has what.
        algorithm: What they do.
        rounds: Of the whole run, those before a checkpoint included.
        loss: `loss(outputs, targets)` of a batch, its mean.
        local_steps: K of every client, or K_i of each. With unequal ones the changes are not
            rescaled: who steps more, moves more.
        batch_size: Examples of a step, drawn with replacement from the client's own.
        participation: Who is asked, is slow, or is lost; `None` is all, always.
        weighting: How changes of the model are averaged over clients: all alike, or by their
            numbers of examples. A correction is never weighted.
        test: Examples and targets for `test_loss` and `test_accuracy`.
        test_every: Rounds from one test to the next; the last is tested too.
        engine: "stacked", one product for each layer of a chain of known layers; "vmap"; "loop";
            or "auto", the first that suits the layers and the device (see
            `FederatedRun.engine`). Results agree up to rounding.
        chunk_size: Clients whose models are held at once; `None` keeps a stack within 16 MB on
            a CPU and 1 GB elsewhere. Results agree up to rounding.
        checkpoint: A file that the run is kept in and goes on from, if it is there and this
            run's; it is whole after `kill -9` too.
        checkpoint_every: Rounds from one writing to the next.
        progress: Whether to show how far it is.
        seed: Of all that is drawn.

    Raises:
        TypeError: For a model that is none, or another type of argument.
        ValueError: For a model with batch norm, random layers or outputs that mix examples; for
            a checkpoint of another run; for steps that are none.
        MemoryError: If what the clients keep does not fit.

    Cost: memory of N times what a client keeps (`FAdamGC` says how much), of a stack of models
    and some eight times that; time of all gradients, and little else.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from overparam.federated import ClientData, dirichlet_partition, simulate
        >>> from overparam.federated.algorithms import FAdamGC
        >>> draw = torch.Generator().manual_seed(0)
        >>> x = torch.randn(400, 5, generator=draw)
        >>> y = (x[:, 0] > 0).long()
        >>> data = ClientData(x, y, dirichlet_partition(y, 10, alpha=0.1, least=5))
        >>> model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> run = simulate(model, data, FAdamGC(lr=0.01), rounds=20, test=(x, y), progress=False)
        >>> bool(run.history["test_accuracy"].iloc[-1] > 0.9), run.engine
        (True, 'stacked')
    """
    with undisturbed(model):
        return Simulation(
            model, clients, algorithm, loss, local_steps, batch_size, participation, weighting,
            test, test_every, engine, chunk_size, seed,
        ).run(rounds, checkpoint, checkpoint_every, progress)  # fmt: skip
