"""The modules inside a module, found in one pass.

torch walks the tree anew for its modules, its parameters and its buffers, through a chain of
generators: in a network of small tensors that takes as long as computing with it does.
"""

from torch import nn


def named_parts(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """What `model.named_modules()` gives: each module once, a module before those inside it."""
    found: list[tuple[str, nn.Module]] = []
    seen: set[int] = set()
    waiting: list[tuple[str, nn.Module]] = [("", model)]
    while waiting:
        path, module = waiting.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        found.append((path, module))
        if module._modules:
            before = f"{path}." if path else ""
            inside = [(before + n, part) for n, part in module._modules.items() if part is not None]
            waiting.extend(reversed(inside))
    return found


def parts(model: nn.Module) -> list[nn.Module]:
    """What `model.modules()` gives."""
    return [module for _, module in named_parts(model)]


class Tree:
    """The parts of one module, gone through again only where some of them are others than before.

    Args:
        model: The module.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._found: list[tuple[str, nn.Module]] = []
        self._children: list[nn.Module | None] = []

    def named(self) -> list[tuple[str, nn.Module]]:
        """As `named_parts` gives them."""
        children = [part for _, m in self._found for part in m._modules.values()]
        if not self._found or children != self._children:
            self._found = named_parts(self._model)
            self._children = [part for _, m in self._found for part in m._modules.values()]
        return self._found
