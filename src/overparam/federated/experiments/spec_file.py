"""A file that says what is simulated: model, data, clients, partition, algorithm, rounds."""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from overparam._errors import UsageError, expect, unknown
from overparam._files import expect_readable
from overparam._numbers import is_integer
from overparam.errors import OverparamError
from overparam.federated.algorithms.algorithm import Algorithm
from overparam.federated.algorithms.fadamgc import FAdamGC, LocalAdam
from overparam.federated.algorithms.fedadam import FedAdam
from overparam.federated.algorithms.fedavg import FedAvg, FedAvgM
from overparam.federated.algorithms.fedcm import FedCM
from overparam.federated.algorithms.scaffold import Scaffold
from overparam.federated.participation import Participation
from overparam.federated.topologies.epidemic import EpidemicLocal
from overparam.federated.topologies.hub_spoke import HubSpoke
from overparam.federated.topologies.planner import plan_topology
from overparam.federated.topologies.topology import Topology
from overparam.federated.vertical.accountant import PrivacySpec
from overparam.federated.vertical.dpzv import DPZV

WITH_SERVER: dict[str, type[Algorithm]] = {
    "fadamgc": FAdamGC, "fedadam": FedAdam, "fedavg": FedAvg, "fedavgm": FedAvgM,
    "fedcm": FedCM, "localadam": LocalAdam, "scaffold": Scaffold,
}  # fmt: skip
LOCAL, VERTICAL = "local_sgd", "dpzv"
ALGORITHMS = (*WITH_SERVER, LOCAL, VERTICAL)
_PARTITIONS = {"iid": (), "dirichlet": ("alpha", "least"), "pathological": ("classes",),
               "own": ("file",)}  # fmt: skip
_HUBS = ("n_hubs", "spokes_per_hub", "hubs_per_hub", "hubs_per_spoke")
_TOPOLOGIES = {"hubs": (*_HUBS, "edges", "max_hub_load"), "epidemic": ("k",)}
_LARGEST = 2**20


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What a file says, and for what it leaves out the defaults.

    Args:
        data: A name or a file, as ``--data`` elsewhere.
        model: Widths of hidden layers with ReLU between them, or FILE.py with ``model(x)``.
        clients: How many: of a vertical split, parties; without a server, nodes.
        rounds: How many: of a vertical split, epochs.
        local_steps: Of every client in a round, or a list with those of each.
        batch_size: Examples of a step.
        weighting: "uniform" or "examples", as `simulate`.
        test_every: Rounds from one test to the next.
        partition: "kind", and what that takes.
        algorithm: "name", and its settings.
        participation: Arguments of `Participation`.
        topology: "kind" and degrees; for "local_sgd".
        privacy: Arguments of `PrivacySpec`; for "dpzv".
        vertical: "embedding", the numbers that a party sends of an example.
    """

    data: str = "digits"
    model: Any = (32,)
    clients: int = 20
    rounds: int = 30
    local_steps: Any = 10
    batch_size: int = 20
    weighting: str = "uniform"
    test_every: int = 1
    partition: dict[str, Any] = field(default_factory=lambda: {"kind": "dirichlet", "alpha": 0.1})
    algorithm: dict[str, Any] = field(default_factory=lambda: {"name": "fadamgc"})
    participation: dict[str, Any] = field(default_factory=dict)
    topology: dict[str, Any] = field(default_factory=dict)
    privacy: dict[str, Any] = field(default_factory=dict)
    vertical: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the algorithm."""
        return str(self.algorithm["name"])

    @property
    def settings(self) -> dict[str, Any]:
        """Of the algorithm, as the file has them."""
        return {key: value for key, value in self.algorithm.items() if key != "name"}


def read_spec(path: str | Path) -> Spec:
    """The checked content of a file.

    Raises:
        ValueError: If it is no TOML, or says something that there is not.
        OSError: If it cannot be read.

    Example:
        ::

            clients = 20            # sites.toml
            rounds = 40
            [partition]
            kind = "dirichlet"
            alpha = 0.05
            [algorithm]
            name = "fadamgc"
            lr = 0.01
    """
    path = Path(path)
    where = f"federate {path}"
    expect_readable(path, where, _LARGEST)
    expect(path.suffix.lower() == ".toml", where, "a .toml file", path.name)
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as problem:
        expect(False, where, "TOML", f"a file that is not ({problem})")
    return checked_spec(given, where)


def checked_spec(given: Mapping[str, Any], where: str) -> Spec:
    """A spec of what a file says; every part of it is tried.

    Raises:
        ValueError: As `read_spec`.
        UsageError: What a part of it was refused with, and which part.
    """
    _known(given, (part.name for part in fields(Spec)), where, "a part of a spec")
    for part in fields(Spec):
        value = given.get(part.name)
        if part.default is MISSING and value is not None:
            expect(isinstance(value, dict), where, f"a table [{part.name}]", repr(value)[:60])
        elif isinstance(part.default, str) and value is not None:
            expect(isinstance(value, str), where, f"a text for {part.name}", repr(value)[:60])
    for name in ("clients", "rounds", "batch_size", "test_every"):
        value = given.get(name, 1)
        expect(is_integer(value) and value >= 1, where, f"a whole number ≥ 1 for {name}", value)
    spec = Spec(**given)
    choices = ("uniform", "examples")
    if spec.weighting not in choices:
        unknown(where, "a weighting", spec.weighting, choices)
    widths = spec.model
    good = isinstance(widths, str) or (
        isinstance(widths, (list, tuple)) and all(is_integer(w) and w >= 1 for w in widths)
    )
    expect(good, where, "widths such as [32, 16], or FILE.py, for model", repr(widths)[:60])
    _kind(spec.partition, _PARTITIONS, where, "partition")
    _expect_name(spec, where)
    participation_of(spec, where)
    if spec.name == LOCAL:
        topology_of(spec, where)
    elif spec.name == VERTICAL:
        dpzv_of(spec, where)
        _known(spec.vertical, ("embedding",), where, "a setting under [vertical]")
        size = spec.vertical.get("embedding", 4)
        expect(is_integer(size) and size >= 1, where, "a whole number ≥ 1 for embedding", size)
        expect(not isinstance(widths, str), where, "widths for model, which every party has",
               repr(widths), "train_vertical takes modules of your own.")  # fmt: skip
    else:
        algorithm_of(spec.name, spec.settings, where)
    return spec


def algorithm_of(name: str, settings: Mapping[str, Any], where: str) -> Algorithm:
    """An algorithm with a server by its name."""
    if name not in WITH_SERVER:
        unknown(where, "an algorithm with a server", name, WITH_SERVER)
    return _made(WITH_SERVER[name], settings, where, "algorithm")


def participation_of(spec: Spec, where: str) -> Participation:
    """Who takes part."""
    return _made(Participation, spec.participation, where, "participation")


def dpzv_of(spec: Spec, where: str) -> DPZV:
    """The settings of a vertical split."""
    promise = _made(PrivacySpec, spec.privacy, where, "privacy") if spec.privacy else None
    return _made(DPZV, spec.settings, where, "algorithm", privacy=promise)


def topology_of(spec: Spec, where: str) -> Topology:
    """Who mixes with whom; hubs and degrees are planned where only edges are told."""
    _kind(spec.topology, _TOPOLOGIES, where, "topology")
    told = {key: value for key, value in spec.topology.items() if key != "kind"}
    with telling_part(where, "topology"):
        if spec.topology["kind"] == "epidemic":
            return EpidemicLocal(spec.clients, **told)
        if "edges" in told:
            return plan_topology(spec.clients, **told).topology
        _known(told, _HUBS, where, "a degree under [topology], where there are no edges,")
        missing = [name for name in _HUBS if name not in told]
        expect(not missing, where, "edges, or all degrees, under [topology]",
               f"no {' and no '.join(missing)}")  # fmt: skip
        return HubSpoke(spec.clients, **told)


def _expect_name(spec: Spec, where: str) -> None:
    """Raise unless there is such an algorithm, and what else is told belongs to it."""
    name = spec.algorithm.get("name", "no name")
    if name not in ALGORITHMS:
        unknown(where, "an algorithm", str(name), ALGORITHMS)
    for part, owner in (("topology", LOCAL), ("privacy", VERTICAL), ("vertical", VERTICAL)):
        expect(
            not getattr(spec, part) or name == owner, where,
            f"[{part}] with the algorithm {owner} alone", name,
        )  # fmt: skip
    if name == LOCAL:
        _known(spec.settings, ("lr", "weight_decay"), where, f"a setting of {LOCAL}")
        lr = spec.settings.get("lr")
        good = isinstance(lr, int | float) and not isinstance(lr, bool) and lr > 0
        expect(good, where, f"a number > 0 for lr of {LOCAL}", lr)
    if name in (LOCAL, VERTICAL):
        hint = f"{name} asks every client in every round."
        expect(not spec.participation, where, "no [participation]", spec.participation, hint)
        expect(is_integer(spec.local_steps), where, "one number of local_steps",
               repr(spec.local_steps)[:60])  # fmt: skip


def _made(kind: type, told: Mapping[str, Any], where: str, part: str, **more: Any) -> Any:
    """An instance of a class by what a table says; lists are its tuples."""
    _known(told, (one.name for one in fields(kind) if one.name not in more), where,
           f"a setting under [{part}]")  # fmt: skip
    values = {key: tuple(v) if isinstance(v, list) else v for key, v in told.items()}
    with telling_part(where, part):
        return kind(**values, **more)


@contextmanager
def telling_part(where: str, part: str) -> Iterator[None]:
    """Say of what is refused inside which part of which file it was."""
    try:
        yield
    except (OverparamError, TypeError) as problem:
        raise UsageError(f"`{where}`, [{part}]: {problem}") from problem


def _kind(table: Mapping[str, Any], kinds: Mapping[str, Iterable[str]], where: str, part: str
          ) -> None:  # fmt: skip
    kind = table.get("kind", "no kind")
    if kind not in kinds:
        unknown(where, f"a kind of {part}", str(kind), kinds)
    _known(table, ("kind", *kinds[kind]), where, f"a setting of the {part} {kind!r}")


def _known(told: Iterable[str], names: Iterable[str], where: str, what: str) -> None:
    known = list(names)
    for name in told:
        if name not in known:
            unknown(where, what, name, known)
