"""What belongs to one run in one process, and watches nothing anywhere else."""

import os
import warnings
from typing import Any, Self

from overparam._errors import expect
from overparam._user_line import user_level


class OneProcess:
    """The base of something whose records two processes would write into one another.

    In a process forked from its own, and as a copy, it can be read and does nothing. Copies are
    shallow: the record is the run's, of which there is one. It is not pickled.
    """

    # Forks between the process that imported this and the one that runs: its number is asked at
    # every step, and a call of the system takes several times as long amid a training.
    _forks = 0
    _process: int | None
    _disowned = False

    def __init__(self) -> None:
        self._process = OneProcess._forks

    @property
    def _own(self) -> bool:
        """Whether the run is this process's."""
        return self._process == self._forks

    def _disown(self) -> None:
        """Warn, once, that nothing is done here."""
        if not self._disowned:
            warnings.warn(
                "a copy of a monitor, or one in a process forked from the run's, watches nothing; "
                "make the monitor where the training runs",
                RuntimeWarning,
                stacklevel=user_level(),
            )
        self._disowned = True

    def __copy__(self) -> Self:
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__, _process=None)
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.__copy__()

    def __reduce_ex__(self, protocol: Any) -> Any:
        expect(
            False,
            f"pickle of a {type(self).__name__}",
            "something that can be sent",
            "a monitor, which belongs to one run in one process",
            hint="take monitor.state_dict(), and load it into a monitor made there.",
            error=TypeError,
        )


def _forked() -> None:
    OneProcess._forks += 1


if hasattr(os, "register_at_fork"):  # elsewhere there are no forks
    os.register_at_fork(after_in_child=_forked)
