"""Where the numbers of a run go: the table, the file, and whatever else the user asked for."""

import warnings
from collections.abc import Callable, Mapping, Sequence

from overparam._user_line import user_level
from overparam.dynamics.events import Event
from overparam.dynamics.loss_stream import Moment
from overparam.dynamics.record import Record
from overparam.dynamics.record_file import RecordFile
from overparam.dynamics.sinks import SinkFunction


class Ledger:
    """Hand numbers on; an outlet that fails is given up, with one warning.

    Args:
        sink: Called with a flat dict and a step.
        file: The record on disk.

    Attributes:
        record: The table in memory.
        refused: The file is another's: the one thing that ends the user's run.
    """

    def __init__(self, sink: SinkFunction | None, file: RecordFile | None) -> None:
        self.record, self.sink, self.file = Record(), sink, file
        self.refused = False
        self._rising: int | None = None
        self._unsent: dict[str, float] = {}
        self._latest = -1  # the step of the last loss

    def losses(self, moments: Sequence[Moment]) -> None:
        """Take losses and learning rates."""
        steps = [moment.step for moment in moments]
        losses = [moment.loss for moment in moments]
        rates = [moment.rate for moment in moments]
        self._latest = steps[-1]
        self.record.extend("loss", steps, losses)
        self.record.extend("lr", steps, rates)
        self._write(lambda file: file.losses(steps, losses, rates))

    def numbers(self, step: int, values: Mapping[str, float], overhead: float) -> None:
        """Take what was measured at a step."""
        values = {name: float(value) for name, value in values.items()}
        self.record.add(step, values)
        self.record.put("overhead", step, overhead)
        self._write(lambda file: file.numbers(step, {**values, "overhead": overhead}))
        if self.sink is not None:
            self._unsent.update(values)

    def events(self, events: Sequence[Event]) -> None:
        """Take spikes with their causes."""
        for event in events:
            plain = event.to_dict()
            self._write(lambda file, plain=plain: file.event(plain))
            # With the step of the spike, which is over by now.
            self._send({f"spike/{event.kind}": event.spike.peak_ratio}, event.step)

    def deliver(self, step: int) -> None:
        """Hand on all that has become known at a step, at once: most sinks make a row of it."""
        if self._unsent:
            numbers, self._unsent = self._unsent, {}
            self._send({**self.now(), **numbers} if self._latest == step else numbers, step)

    def rising(self, event: Event | None) -> None:
        """Take note of the spike under way, or of none."""
        step = None if event is None else event.step
        if step != self._rising:
            self._rising = step
            plain = None if event is None else event.to_dict()
            self._write(lambda file: file.rising(plain))

    def resume(self, step: int) -> None:
        """The run goes on from a state saved before this step."""
        if self.file is not None:
            self.file.start = step

    def end(self, step: int) -> None:
        """The run is over."""
        self._write(lambda file: file.end(step))

    def flush(self) -> None:
        """Leave nothing in memory only."""
        self._write(lambda file: file.flush())

    def now(self) -> dict[str, float]:
        """The latest loss and learning rate."""
        return {"loss": self.record.last("loss"), "lr": self.record.last("lr")}

    def _write(self, write: Callable[[RecordFile], None]) -> None:
        if self.file is not None:
            try:
                write(self.file)
            except OSError as problem:
                self.file = None
                _given_up("file", problem)
            except ValueError:  # another writes to it: said once, and nothing more is tried
                self.file, self.refused = None, True
                raise

    def _send(self, numbers: dict[str, float], step: int) -> None:
        if self.sink is not None:
            try:
                self.sink(numbers, step)
            except Exception as problem:
                self.sink = None
                _given_up("sink", problem)


def _given_up(name: str, problem: Exception) -> None:
    warnings.warn(
        f"the monitor's {name!r} is switched off after {type(problem).__name__}: {problem}",
        RuntimeWarning,
        stacklevel=user_level(),
    )
