"""What a diagnosis is: plain data, in the form of the JSON it is stored as."""

from dataclasses import asdict, dataclass, field
from typing import Any

from overparam._json import strict
from overparam._statement import Concluded
from overparam._statement import Statement as Statement


@dataclass(frozen=True, repr=False)
class Diagnosis(Concluded):
    """The outcome of `diagnose`, as plain data; every field is as in its JSON.

    Attributes:
        environment: Versions, machine, seed, time taken.
        model: Parameters, layers, parametrisation.
        data: Sizes, classes, what was trained and for how long.
        advice: Numbers to use: learning rate, its stable limit, batch sizes, momentum, MaSS.
        statements: Conclusions, the most urgent first.
        events: Loss spikes and their causes.
        suspects: Training examples whose labels look wrong, the most suspicious first.
        series: What was measured along the way, by name.
    """

    environment: dict[str, Any]
    model: dict[str, Any]
    data: dict[str, Any]
    advice: dict[str, Any]
    statements: list[Statement] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    suspects: list[dict[str, Any]] = field(default_factory=list)
    series: dict[str, Any] = field(default_factory=dict)

    def _statements(self) -> list[Statement]:
        return self.statements

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON knows it: a number that is not finite becomes `None`."""
        return strict({"kind": "diagnosis", **asdict(self)})
