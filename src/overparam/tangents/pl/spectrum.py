"""What PL* needs of a network at one point: the ends of its Jacobian's spectrum, its residual."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from overparam._batch import call, detached, in_precision, n_examples, tensors
from overparam._copies import copied_model
from overparam._errors import expect
from overparam._exclusive import exclusive
from overparam._memory import expect_room, fits
from overparam._model import as_function, expect_outputs, trainable, undisturbed
from overparam._types import Inputs, Params
from overparam.linalg.spectra import eigenvalues, noise_level
from overparam.tangents.empirical import empirical_ntk_blocks
from overparam.tangents.engine.jacobian import jacobians
from overparam.tangents.engine.session import chosen_params, opened

# From here on the smallest eigenvalue of J Jᵀ has lost too many digits to squaring.
_ILL_CONDITIONED = 1e6


@dataclass(frozen=True)
class Point:
    """F at one point: N = n C outputs, P parameters.

    Attributes:
        largest: σ_max of the Jacobian.
        smallest: σ_min, the N-th singular value; 0 where float64 cannot tell it from 0.
        residual: F − y, (n, C).
        slope: ‖Jᵀr‖²/‖r‖², which is ½‖∇L‖²/L for L = ½‖r‖²; nan for r = 0.
        parameters: P.
    """

    largest: float
    smallest: float
    residual: Float[Tensor, "n c"]
    slope: float
    parameters: int


@dataclass(frozen=True)
class Twin:
    """A copy of the user's model and data in double precision, and what is differentiated."""

    model: nn.Module
    x: Inputs
    y: Float[Tensor, "n c"]
    names: list[str]
    chunk_size: int | None

    @classmethod
    def of(
        cls,
        model: nn.Module,
        x: Inputs,
        y: Tensor,
        names: Sequence[str] | None,
        chunk_size: int | None,
        name: str,
    ) -> "Twin":
        """The copy, after every check."""
        chosen = list(chosen_params(model, x, None, names, chunk_size, name, "x"))
        where = f"{name}(y=...)"
        expect(isinstance(y, Tensor), where, "a tensor", type(y).__name__, error=TypeError)
        finite = bool(torch.isfinite(y).all())
        expect(finite, where, "finite targets", "NaN or infinity")
        with exclusive(model):
            twin = copied_model(model).double()
        inputs, n = in_precision(torch.float64, detached(x)), n_examples(x)
        with undisturbed(twin), torch.no_grad():
            outputs = expect_outputs(call(twin, inputs), n, f"{name}(model=...)")
        expect(
            y.shape == outputs.shape or (y.shape == (n,) and outputs.numel() == n),
            where,
            f"targets of shape {tuple(outputs.shape)}, like the outputs",
            tuple(y.shape),
            hint="the loss is a squared error: classes go in as one-hot rows.",
        )
        return cls(twin, inputs, y.detach().reshape(n, -1).double(), chosen, chunk_size)

    @property
    def size(self) -> int:
        """N = n C."""
        return self.y.numel()

    def point(self, params: Params | None = None) -> Point:
        """Spectrum and residual at the given parameters, or at the present ones."""
        self.move_to(params or {})
        chosen = trainable(self.model, self.names)
        count = sum(p.numel() for p in chosen.values())
        residual = self.residual()
        kernel = self._kernel()
        values = eigenvalues(kernel, "empirical_ntk_blocks(...)")
        largest = max(float(values[0]), 0.0)
        noise = noise_level(values, torch.float64)
        smallest = float(values[-1]) if float(values[-1]) > noise else 0.0
        if self.size > count:
            smallest = 0.0
        elif smallest * _ILL_CONDITIONED < largest and self._fits(count):
            sigma = torch.linalg.svdvals(self.jacobian())
            top = float(sigma[0])
            low = float(sigma[-1])
            low = low if low > max(self.size, count) * torch.finfo(torch.float64).eps * top else 0.0
            smallest, largest = low**2, top**2
        r = residual.flatten().to(kernel)
        square = float(r @ r)
        slope = max(float(r @ (kernel @ r)), 0.0) / square if square > 0 else float("nan")
        return Point(largest**0.5, smallest**0.5, residual, slope, count)

    def move_to(self, params: Params) -> None:
        """Write parameters into the copy."""
        own = dict(self.model.named_parameters()) | dict(self.model.named_buffers())
        with torch.no_grad():
            for name, value in params.items():
                if name in own:
                    own[name].copy_(value)

    def residual(self) -> Float[Tensor, "n c"]:
        """F − y."""
        with undisturbed(self.model), torch.no_grad():
            return call(self.model, self.x).reshape(self.y.shape) - self.y.to(_device(self.model))

    def values(self) -> Params:
        """Copies of the parameters that are differentiated by."""
        chosen = trainable(self.model, self.names)
        return {name: p.detach().clone() for name, p in chosen.items()}

    def gradient(self) -> Params:
        """∇L = Jᵀ r for L = ½‖r‖²."""
        function, values = as_function(self.model), self.values()
        target = self.y.to(_device(self.model))

        def loss(params: Params) -> Tensor:
            return 0.5 * (function(params, self.x).reshape(target.shape) - target).square().sum()

        with undisturbed(self.model):
            return torch.func.grad(loss)(values)

    def jacobian(self) -> Float[Tensor, "nc p"]:
        """J, formed: row i·C + c."""
        chosen = trainable(self.model, self.names)
        count = sum(p.numel() for p in chosen.values())
        needed = 3 * 8 * self.size * count
        expect_room(
            needed, _device(self.model), "a Jacobian of singular values", "pass fewer examples."
        )
        with opened(self.model, chosen):
            parts = jacobians(self.model, self.x, chosen, lambda y: y, chunk_size=self.chunk_size)
        return torch.cat([part.detach().reshape(self.size, -1) for part in parts.values()], 1)

    def _fits(self, count: int) -> bool:
        """Whether the Jacobian and what its decomposition needs can be held."""
        return fits(4 * 8 * self.size * count, _device(self.model))

    def _kernel(self) -> Float[Tensor, "nc nc"]:
        """J Jᵀ."""
        blocks = empirical_ntk_blocks(
            self.model, self.x, names=self.names, chunk_size=self.chunk_size
        )
        return blocks.permute(0, 2, 1, 3).reshape(self.size, self.size)


def repeated(x: Inputs, y: Tensor) -> tuple[int, int, bool] | None:
    """Two examples with the same input, and whether their targets differ; such ones first."""
    n = n_examples(x)
    rows = torch.cat([value.detach().reshape(n, -1).double() for value in tensors(x)], 1)
    _, groups = torch.unique(rows, dim=0, return_inverse=True)
    first: dict[int, int] = {}
    found = None
    for i, group in enumerate(groups.tolist()):
        j = first.setdefault(group, i)
        if j == i:
            continue
        differ = not torch.equal(y[i], y[j])
        if differ:
            return j, i, True
        found = found or (j, i, False)
    return found


def _device(model: nn.Module) -> torch.device:
    """Where the parameters are."""
    return next(model.parameters()).device
