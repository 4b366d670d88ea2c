"""How much of a step's gradient is noise."""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from overparam._batch import n_examples, take, tensors
from overparam._random_numbers import seeded
from overparam._training_mode import waits_for_others
from overparam.dynamics.batch_form import why_whole
from overparam.dynamics.probes.norms import every_kth
from overparam.dynamics.probes.probe import Probe, Scene, fewer, n_fewer, passes, trained
from overparam.optim.gradient_noise import TIED_PART, equal_parts, gradient, signal_and_noise
from overparam.optim.noise_scale import FEWEST, noise_scale, outweighed

# Parts of a batch, at most: with more, the noise is told a little better, the signal no better.
_PARTS = 8
# So many batches of a single example, one after another, are no short last batch.
_SINGLE = 3


class GradientNoise(Probe):
    """The gradient noise scale tr Σ / ‖G‖², in examples: a batch of that size is half noise.

    `gradient_signal` is ‖G‖², the squared length of the mean gradient, and `gradient_noise` tr Σ,
    the variance of single examples' gradients over all coordinates: both without bias, from the
    gradients of two to eight parts of the step's batch. The signal of one batch may come out below
    zero. `noise_scale` is the ratio of their means over the last measurements, with
    `noise_scale_low` and `noise_scale_high`, which hold it in about 95 %. Where the signal cannot
    be told from zero there is a `noise_scale_low` alone. `overparam.optim.noise_scale` makes the
    same of any stretch of the two columns.

    Of the network as it is trained. Where training ties a batch together, as batch norm does, a
    part has statistics of its own, and the scale is that of batches of its size. Masks of dropout
    differ from part to part, and count as noise. Of more than four million parameters it is that of
    every k-th, some four million.

    Args:
        window: Measurements that are pooled.
        least: Examples in a part, at least; a batch of fewer than two parts is halved.

    Cost:
        A forward and backward pass of the batch, in parts; memory: two gradients, the second of at
        most some four million numbers.

    References:
        McCandlish, Kaplan, Amodei and others (2018), arXiv:1812.06162.
    """

    name = "gradient noise"
    keys = (
        "gradient_signal", "gradient_noise", "noise_scale", "noise_scale_low", "noise_scale_high"
    )  # fmt: skip
    by_default = 7
    needs = ("batch",)

    def __init__(self, window: int = 16, least: int = TIED_PART) -> None:
        self.least = least
        self._pairs: deque[tuple[float, float]] = deque(maxlen=window)
        self._times = self._single = 0
        self._why = ""

    def measure(self, scene: Scene) -> dict[str, float]:
        """Signal and noise of this batch, and the scale of the last few."""
        assert scene.batch is not None
        x, y = fewer(scene.batch, scene)
        n = n_examples(x)
        self._single = self._single + 1 if n < 2 else 0
        if n < 2:
            return {}
        params = list(trained(scene.model).values())
        with scene.as_trained() as model, seeded(scene.seed + self._times, params[0].device):
            pieces = equal_parts(torch.randperm(n), self._parts(n))

            def gradients() -> Iterator[list[Tensor]]:
                for piece in pieces:
                    yield every_kth(
                        gradient(model, params, take(x, piece), take(y, piece), scene.loss)
                    )

            try:
                pair = signal_and_noise(gradients(), len(pieces[0]))
            except (RuntimeError, ValueError, TypeError, IndexError) as problem:
                if self._times:
                    raise
                self._why = f"a part of the batch gives {type(problem).__name__}: {problem}"
                return {}
        self._times += 1
        if not all(map(math.isfinite, pair)):  # the run diverges, and may come back
            return {}
        self._pairs.append(pair)
        return {"gradient_signal": pair[0], "gradient_noise": pair[1], **self._pooled()}

    def _pooled(self) -> dict[str, float]:
        if len(self._pairs) < FEWEST:
            return {}
        found = noise_scale(*map(list, zip(*self._pairs, strict=True)))
        if not found.known:
            return {"noise_scale_low": found.low} if found.low else {}
        return {
            "noise_scale": found.scale, "noise_scale_low": found.low, "noise_scale_high": found.high
        }  # fmt: skip

    def _parts(self, n: int) -> int:
        """In how many parts a batch of so many is taken."""
        return min(_PARTS, max(n // self.least, 2))

    def unfit(self, scene: Scene) -> str:
        """Batches that cannot be taken apart."""
        if scene.batch is None:
            return ""
        if waits_for_others(scene.model):
            return "layers that share their statistics with other processes"
        if self._single >= _SINGLE:
            return "batches of one example"
        return self._why or scene.whole or why_whole(*scene.batch)

    def lacking(self, keys: Sequence[str]) -> str:
        """Too few measurements or one that decides, or a signal that may be none."""
        if len(self._pairs) < FEWEST:
            return f"it takes {FEWEST} measurements"
        if outweighed([noise for _, noise in self._pairs]):
            return "one measurement outweighs all others together"
        return "the signal cannot be told from zero"

    def relative_cost(self, scene: Scene) -> float:
        """A forward and a backward pass, in parts."""
        batch = scene.batch or scene.probe
        if batch is None or not tensors(batch[0]):
            return 1.5
        n = n_fewer(n_examples(batch[0]), scene)
        return 0.5 + passes(scene, n, 1) + (self._parts(n) - 1) * scene.few

    def state_dict(self) -> dict[str, Any]:
        """The measurements that are pooled, and how many there were."""
        return {"pairs": list(self._pairs), "times": self._times}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from saved measurements."""
        self._pairs.extend((float(a), float(b)) for a, b in state["pairs"])
        self._times = state["times"]
