"""A network as its first Taylor polynomial in the parameters."""

from collections.abc import Mapping

from torch import Tensor, nn

from overparam._checked import checked
from overparam._exclusive import exclusively
from overparam._forward import seen_through
from overparam._model import expect_deterministic
from overparam._types import Forward, Inputs, Params
from overparam.expansions.directional import first_directional
from overparam.expansions.displaced import DisplacedModel, called_with
from overparam.expansions.remainder import remainder


class LinearizedModel(DisplacedModel):
    """What `linearize` returns; its trainable parameters are the displacement δ = w − w0.

    Attributes:
        reference: A frozen copy of the model at w0.
        displacement: δ, one tensor per trainable parameter of the model, in its order.
    """

    @exclusively
    def forward(self, *args: Tensor, **kwargs: Tensor) -> Tensor:
        """f(w0; x) + ∇f(w0; x)·δ, differentiable by δ and by x."""
        x = called_with(args, kwargs)
        value, change = first_directional(self.reference, self._point(), self._direction(), x)
        return value + change


@checked
def linearize(
    model: nn.Module,
    *,
    forward: Forward | None = None,
) -> LinearizedModel:
    """The first Taylor polynomial of a model around its present weights, as a module to train.

        f_lin(w0 + δ; x) = f(w0; x) + ∇f(w0; x)·δ,        δ = 0 at the start.

    w0 is a copy: training the one does not move the other. Only δ requires a gradient, so
    any optimizer trains it, but **weight decay pulls δ to 0**, that is w to w0 and not to the
    origin. Parameters frozen in the model stay frozen.

    Args:
        model: Any module, in the mode (evaluation, if it has dropout or batch norm) in which
            it is to be linearised.
        forward: ``forward(model, x)`` that returns the outputs as one tensor, for a model that
            returns something else.

    Returns:
        A module called like the model, with the same outputs until δ moves.

    Raises:
        ValueError: If the model has no trainable parameter, or a layer in training mode that
            mixes examples or draws random numbers.

    Cost:
        Twice the memory of the parameters; about two forward passes per call (one jvp), and
        one backward pass of the original per backward.

    Example:
        w² at w = 3 becomes 9 + 6 δ:

        >>> import torch
        >>> class Square(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.w = torch.nn.Parameter(torch.tensor(3.0))
        ...
        ...     def forward(self, x):
        ...         return self.w**2 * x
        >>> linear = linearize(Square())
        >>> _ = torch.nn.init.constant_(linear.displacement[0], 0.5)
        >>> linear(torch.ones(1)).item()
        12.0

    References:
        Lee, Xiao, Schoenholz, Bahri, Novak, Sohl-Dickstein, Pennington (2019),
        arXiv:1902.06720: training the linearised network.
    """
    model = seen_through(model, forward, "linearize")
    expect_deterministic(model, "linearize(model=...)")
    return LinearizedModel(model, "linearize(model=...)")


@checked
def linearization_error(
    model: nn.Module,
    reference_params: Mapping[str, Tensor],
    x: Inputs,
    *,
    forward: Forward | None = None,
) -> float:
    """How far the model's outputs are from those of its linearisation at earlier parameters.

        ‖f(w) − f(w0) − ∇f(w0)·(w − w0)‖₂ / √n,

    over all outputs of all n examples; **outputs are summed, examples averaged**. w is where
    the model is now. It needs no smoothness: it holds for ReLU, where a Hessian does not.

    Args:
        model: The model at w.
        reference_params: w0 by name: an earlier ``model.state_dict()`` (cloned, or it follows
            the model) or any part of it. Parameters it does not name have not moved; buffers
            in it are ignored, both points use the model's.
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
        About three forward passes; memory of two copies of the parameters.

    Example:
        From w = 3 to w = 3.5, w² moves by 3.25 and its tangent by 3:

        >>> import torch
        >>> class Square(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.w = torch.nn.Parameter(torch.tensor(3.5))
        ...
        ...     def forward(self, x):
        ...         return self.w**2 * x
        >>> linearization_error(Square(), {"w": torch.tensor(3.0)}, torch.ones(1))
        0.25

    References:
        Liu, Zhu, Belkin (2020), arXiv:2010.01092: the error is at most half the Hessian norm
        times the squared distance.
    """
    return remainder("linearization_error", model, reference_params, x, forward, _terms)


def _terms(
    where: str, model: nn.Module, point: Params, direction: Params, x: Inputs
) -> tuple[Tensor, Tensor]:
    return first_directional(model, point, direction, x)
