"""Whether a monitor is called where it should be: gradients there, the step not taken yet."""

import warnings

from torch import Tensor

from overparam._user_line import user_level

# In so many looks one after another the gradients were gone, and the weights had moved.
_EVIDENCE = 2
_LOOKS = 20


class CallOrder:
    """Say once that there are no gradients when there should be.

    Args:
        params: What is trained.
    """

    def __init__(self, params: list[Tensor]) -> None:
        self._params, self._found, self._left = params, 0, _LOOKS
        self._version = self._versions()

    def look(self) -> None:
        """Look at the gradients, in the beginning of a run."""
        if self._left <= 0:
            return
        self._left -= 1
        version, before = self._versions(), self._version
        self._version = version
        if any(p.grad is not None for p in self._params):
            self._left = 0
        elif version != before:
            self._found += 1
            if self._found == _EVIDENCE:
                self._left = 0
                warnings.warn(
                    "the monitor finds no gradients, and has no norm of them: call Monitor.step "
                    "after backward() and before optimizer.step() and optimizer.zero_grad()",
                    RuntimeWarning,
                    stacklevel=user_level(),
                )

    def _versions(self) -> int:
        """Changes with everything that is written to the parameters."""
        return sum(p._version for p in self._params)
