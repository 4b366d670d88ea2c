"""Parameters of which every example gets a copy."""

import torch
from torch import Tensor, nn

from overparam.tangents.engine.rules.copies import Repeated


class Token(nn.Module):
    """A learned token before each sequence."""

    def __init__(self, *repeats: int, shape: tuple[int, ...] = (1, 1, 4)) -> None:
        super().__init__()
        self.token, self.repeats = nn.Parameter(torch.randn(shape)), repeats
        self.linear = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        if self.repeats:
            sizes = [len(x) if size == 0 else size for size in self.repeats]
            copies = self.token.repeat(*sizes)
        else:
            copies = self.token.expand(len(x), -1, -1)
        copies = copies.reshape(len(x), -1, 4)
        return self.linear(torch.cat([copies, x], 1)).tanh().sum(1)


def test_expanded(held_to_autograd):
    held_to_autograd(Token, 5, 6, 4, swept=False)


def test_repeated(held_to_autograd):
    held_to_autograd(lambda: Token(0, 1, 1), 5, 6, 4, swept=False)
    held_to_autograd(lambda: Token(0, shape=(4,)), 5, 6, 4, swept=False)
    held_to_autograd(lambda: Token(1, 0, 1), 5, 6, 4, swept=False)


def test_repeated_within_an_example_is_differentiated_directly(held_to_autograd):
    """Copies of an example are not all there is: those of others stand between them."""
    held_to_autograd(lambda: Token(0, 2, 1), 5, 6, 4, swept=True, direct=1)
    held_to_autograd(lambda: Token(0, 1, 2, shape=(1, 1, 2)), 5, 6, 4, swept=True, direct=1)


def test_as_many_copies_as_examples_of_something_that_all_see(held_to_autograd):
    """Three rows, three examples looked at, and yet no row belongs to one of them."""

    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shift, self.linear = nn.Parameter(torch.randn(1, 4)), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear((x + self.shift.expand(3, 4)).tanh()).sum(1)

    held_to_autograd(Positions, 3, 3, 4, swept=True)


def test_copies_that_do_not_lie_behind_one_another_are_not_taken_for_examples():
    for shape, repeats, copies in (((2, 1), (1, 3), 0), ((1, 2), (1, 3), 3), ((2,), (3, 1), 3)):
        parameter = torch.ones(shape, requires_grad=True)
        node = parameter.repeat(*repeats).grad_fn
        assert Repeated(node, 0, parameter.shape).rows == copies
