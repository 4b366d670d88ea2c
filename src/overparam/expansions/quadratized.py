"""A network as its second Taylor polynomial in the parameters."""

from collections.abc import Mapping

from torch import Tensor, nn

from overparam._checked import checked
from overparam._exclusive import exclusively
from overparam._forward import seen_through
from overparam._model import expect_deterministic
from overparam._types import Forward, Inputs, Params
from overparam.expansions.directional import second_directional
from overparam.expansions.displaced import DisplacedModel, called_with
from overparam.expansions.remainder import remainder


class QuadratizedModel(DisplacedModel):
    """What `quadratize` returns; its trainable parameters are the displacement δ = w − w0.

    Attributes:
        reference: A frozen copy of the model at w0.
        displacement: δ, one tensor per trainable parameter of the model, in its order.
    """

    @exclusively
    def forward(self, *args: Tensor, **kwargs: Tensor) -> Tensor:
        """f(w0; x) + ∇f(w0; x)·δ + ½ δᵀ∇²f(w0; x) δ, differentiable by δ and by x."""
        x = called_with(args, kwargs)
        value, first, second = _terms(
            "quadratize(model=...)", self.reference, self._point(), self._direction(), x
        )
        return value + first + second


@checked
def quadratize(
    model: nn.Module,
    *,
    forward: Forward | None = None,
) -> QuadratizedModel:
    """The second Taylor polynomial of a model around its present weights, as a module to train.

        f_quad(w0 + δ; x) = f(w0; x) + ∇f(w0; x)·δ + ½ δᵀ∇²f(w0; x) δ,   δ = 0 at the start.

    The Hessian is that of the **outputs**, one per example and output, not of a loss; it is
    never formed. Everything else is as for `linearize`: w0 is a copy, only δ requires a
    gradient, any optimizer trains it, and **weight decay pulls w to w0**. Where an activation
    has a kink (ReLU) its second derivative is 0, as on either side of it; for a two-layer ReLU
    network `freeze_gates` is the same polynomial at the cost of the network itself.

    Args:
        model: Any module, in the mode (evaluation, if it has dropout or batch norm) in which
            it is to be expanded.
        forward: ``forward(model, x)`` that returns the outputs as one tensor, for a model that
            returns something else.

    Returns:
        A module called like the model, with the same outputs until δ moves.

    Raises:
        ValueError: If the model has no trainable parameter, or a layer in training mode that
            mixes examples or draws random numbers. When it is called: if PyTorch cannot
            differentiate a layer twice in forward mode.

    Cost:
        Twice the memory of the parameters; about four forward passes per call (a jvp of a
        jvp), and a backward pass over these per backward.

    Example:
        w³ at w = 1 becomes 1 + 3 δ + 3 δ²:

        >>> import torch
        >>> class Cube(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.w = torch.nn.Parameter(torch.tensor(1.0))
        ...
        ...     def forward(self, x):
        ...         return self.w**3 * x
        >>> quadratic = quadratize(Cube())
        >>> _ = torch.nn.init.constant_(quadratic.displacement[0], 2.0)
        >>> quadratic(torch.ones(1)).item()
        19.0

    References:
        Zhu, Liu, Radhakrishnan, Belkin (2022), arXiv:2205.11787: this polynomial has the
        catapults of a wide network, which its linearisation lacks.
    """
    model = seen_through(model, forward, "quadratize")
    expect_deterministic(model, "quadratize(model=...)")
    return QuadratizedModel(model, "quadratize(model=...)")


@checked
def quadratization_error(
    model: nn.Module,
    reference_params: Mapping[str, Tensor],
    x: Inputs,
    *,
    forward: Forward | None = None,
) -> float:
    """How far the model's outputs are from its second Taylor polynomial at earlier parameters.

        ‖f(w) − f_quad(w)‖₂ / √n,     f_quad expanded at w0,

    over all outputs of all n examples; **outputs are summed, examples averaged**, as in
    `linearization_error`. For a smooth model it is of third order in ‖w − w0‖: half the way,
    an eighth of the error.

    Args:
        model: The model at w.
        reference_params: w0 by name, as for `linearization_error`.
        x: A batch of n examples.
        forward: ``forward(model, x)`` that returns the outputs as one tensor, for a model that
            returns something else.

    Returns:
        The error, ≥ 0, in the units of the outputs.

    Raises:
        ValueError: If `reference_params` names no parameter, one the model lacks, or one of
            another shape; if `x` is empty or not finite.
        NumericalError: If the outputs are not finite.

    Cost:
        About five forward passes; memory of two copies of the parameters.

    Example:
        From w = 1 to w = 3, w³ reaches 27 and its second polynomial 19:

        >>> import torch
        >>> class Cube(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.w = torch.nn.Parameter(torch.tensor(3.0))
        ...
        ...     def forward(self, x):
        ...         return self.w**3 * x
        >>> quadratization_error(Cube(), {"w": torch.tensor(1.0)}, torch.ones(1))
        8.0
    """
    return remainder("quadratization_error", model, reference_params, x, forward, _terms)


def _terms(
    where: str, model: nn.Module, point: Params, direction: Params, x: Inputs
) -> tuple[Tensor, Tensor, Tensor]:
    along = second_directional(where, model, point, direction, x)
    return along.value, along.first, along.second / 2
