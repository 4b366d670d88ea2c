"""Model, loss and a batch tried together once, before anything is measured with them."""

import warnings
from collections.abc import Callable
from typing import Any

from torch import Tensor

from overparam._batch import call, n_examples, take
from overparam._errors import complaint
from overparam._model import picking
from overparam._user_line import user_level
from overparam.dynamics.spectral_split import is_squared_error
from overparam.dynamics.subject import Subject
from overparam.errors import OverparamError


class Trial:
    """Find out, with a pass or two, whether model and loss take a batch, and say so once if not.

    Attributes:
        why: What is wrong; empty if nothing is, or nothing has been tried yet.
        outputs: Numbers the model gives for an example; `None` if that is not known.
        quadratic: Whether the loss is a squared error; `None` if that is not known.
        seconds: What its pass took, forward alone and of few examples where that was possible.
    """

    def __init__(self, subject: Subject, clock: Callable[[], float]) -> None:
        self._subject, self._clock = subject, clock
        self._done = False
        self.why = ""
        self.outputs: int | None = None
        self.quadratic: bool | None = None
        self.seconds = 0.0

    def of(self, batch: tuple[Any, Any] | None) -> None:
        """Try a batch, unless one has been tried."""
        if self._done or batch is None:
            return
        self._done = True
        try:
            with self._subject.isolated():
                self.outputs = self._tried(*batch)
        except Exception as problem:
            said = isinstance(problem, OverparamError)
            self.why = str(problem) if said else str(_reworded(problem))
            words = f"the monitor measures nothing on batches: {self.why}"
            warnings.warn(words, RuntimeWarning, stacklevel=user_level())

    def _tried(self, x: Any, y: Any) -> int | None:
        self._subject.find_loss(x, y)
        whole = self._subject.whole
        if not whole and n_examples(x) > 2:  # two: of one example there are no batch statistics
            try:
                numbers = self._warm(take(x, slice(0, 2)), take(y, slice(0, 2)))
                return numbers // 2
            except Exception:  # a loss may know the whole batch by heart
                return self._evaluated(x, y) // n_examples(x)
        return self._evaluated(x, y) // (1 if whole else n_examples(x))

    def _warm(self, x: Any, y: Any) -> int:
        """The same of a few examples, twice: the first of such short passes may take far longer.

        Dear probes would be taken to gain nothing by fewer examples.
        """
        self._evaluated(x, y)
        cold = self.seconds
        numbers = self._evaluated(x, y)
        self.seconds = min(cold, self.seconds)
        return numbers

    def _evaluated(self, x: Any, y: Any) -> int:
        """How many numbers the outputs are that the loss takes."""
        subject = self._subject
        subject.synchronize()
        start = self._clock()
        outputs = call(subject.model, x)
        subject.synchronize()
        self.seconds = self._clock() - start
        if not isinstance(outputs, Tensor):
            raise complaint(
                "Monitor(model=...)",
                "a model that returns one tensor",
                f"a {type(outputs).__name__}",
                f"pass {picking(outputs, x)}.",
                error=TypeError,
            )
        if not (outputs.is_floating_point() or outputs.is_complex()):
            raise complaint(
                "Monitor(model=...)", "a model that returns real numbers",
                str(outputs.dtype).removeprefix("torch."),
                "pass forward=, a function of the model and the inputs that returns what the loss "
                "takes the gradient of.", error=TypeError,
            )  # fmt: skip
        value = subject.loss(outputs, y)
        if not isinstance(value, Tensor) or value.numel() != 1:
            raise complaint(
                "Monitor(loss=...)",
                "a loss(outputs, targets) that returns one number",
                f"shape {tuple(value.shape)}"
                if isinstance(value, Tensor)
                else type(value).__name__,
                "use reduction='mean' or 'sum'.",
            )
        self.quadratic = is_squared_error(subject.loss, outputs, y)
        return outputs.numel()


def _reworded(problem: Exception) -> Exception:
    came = (str(problem).strip() or "no message").splitlines()[0].rstrip(".")
    return complaint(
        "Monitor.step(batch=...)",
        "inputs that the model takes and targets that the loss takes",
        f"{type(problem).__name__}: {came}",
        "pass batch=(inputs, targets) as training uses them, or forward=, a function of the "
        "model and the inputs that returns the tensor `loss` takes.",
    )
