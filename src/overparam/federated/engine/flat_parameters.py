"""A model's parameters as one vector, and a model at a vector."""

import torch
from torch import Tensor, nn

from overparam._errors import expect
from overparam._model import as_function, trainable
from overparam._types import Params


class FlatParameters:
    """The parameters that a model trains, in one order.

    Attributes:
        size: P, how many numbers they are.
        dtype: Of the model's own arithmetic.
    """

    def __init__(self, model: nn.Module, where: str) -> None:
        self.model = model
        self.params = trainable(model, where=where)
        dtypes = {p.dtype for p in self.params.values()}
        expect(
            len(dtypes) == 1, where, "parameters of one floating dtype",
            f"parameters of {', '.join(sorted(map(str, dtypes)))}",
        )  # fmt: skip
        first = next(iter(self.params.values()))
        self.dtype, self.device = first.dtype, first.device
        self.sizes = [p.numel() for p in self.params.values()]
        self.size = sum(self.sizes)
        self.function = as_function(model)
        self._places = {id(p): i for i, p in enumerate(self.params.values())}
        self._starts = [sum(self.sizes[:i]) for i in range(len(self.sizes))]

    def start(self) -> Tensor:
        """A copy of the model's own parameters, in single precision at least."""
        flat = torch.cat([p.detach().reshape(-1) for p in self.params.values()])
        return flat.to(torch.promote_types(self.dtype, torch.float32), copy=True)

    def views(self, w: Tensor) -> Params:
        """A vector's (or rows') parts under the parameters' names and in their shapes."""
        parts = w.split(self.sizes, dim=-1)
        return {
            name: part.view(*w.shape[:-1], *p.shape)
            for (name, p), part in zip(self.params.items(), parts, strict=True)
        }

    def part(self, w: Tensor, parameter: Tensor) -> Tensor | None:
        """The view of the rows of `w` for one of the parameters; `None` if it is not trained."""
        at = self._places.get(id(parameter))
        if at is None:
            return None
        begin = self._starts[at]
        return w[:, begin : begin + self.sizes[at]].unflatten(1, parameter.shape)

    def as_state(self, x: Tensor) -> Params:
        """A vector as copies in the model's dtype, for `model.load_state_dict(…, strict=False)`."""
        return {name: part.to(self.dtype, copy=True) for name, part in self.views(x).items()}
