"""Which parameters' gradients stay factors, which are formed together, and what that takes."""

from dataclasses import dataclass

from overparam.tangents.engine.graph import Use
from overparam.tangents.engine.plan import Plan

# An elementwise pass over memory costs about as much as this many multiply-adds a number.
_PASS = 8


@dataclass(frozen=True)
class Recipe:
    """Which parameters become pairs or are formed (a weight, perhaps with its bias), or dense."""

    pairs: list[tuple[str, str | None]]
    formed: list[tuple[str, str | None]]
    dense: dict[str, slice]

    @property
    def width(self) -> int:
        """F of one output."""
        return max((part.stop for part in self.dense.values()), default=0)


@dataclass(frozen=True)
class Asked:
    """What a recipe is for: C outputs, kept apart or contracted over, and how many examples meet.

    Attributes:
        outputs: C.
        blocks: Whether the outputs are kept apart.
        columns: Examples each example will meet.
        pairs_first: Keep factors apart wherever there are any, whatever that costs.
    """

    outputs: int
    blocks: bool
    columns: int = 1
    pairs_first: bool = False


def choose(plan: Plan, uses: dict[str, list[Use]], asked: Asked) -> Recipe:
    """The cheapest way for each parameter; chosen once, so that all blocks fit together."""
    pairs = [
        (name, _partner(name, uses))
        for name, found in uses.items()
        if found and _pairable(found, plan) and _pairs_cheaper(found, plan, asked)
    ]
    taken = {name for pair in pairs for name in pair}
    formed = [
        (name, _partner(name, uses))
        for name, found in uses.items()
        if found and name not in taken and _formable(found, plan)
    ]
    taken |= {name for pair in formed for name in pair}
    dense, start = {}, 0
    for name in [*(name for name in uses if name not in taken), *plan.direct]:
        stop = start + plan.params[name].numel()
        dense[name], start = slice(start, stop), stop
    return Recipe(pairs, formed, dense)


def numbers(recipe: Recipe, plan: Plan, uses: dict[str, list[Use]], outputs: int) -> int:
    """Numbers that the factors of one example hold."""
    total = outputs * recipe.width
    for weight, _ in recipe.pairs:
        operation = uses[weight][0].operation
        # One more, for a bias or for an index of 64 bits.
        row = outputs * operation.width + operation.inputs + 1
        total += row * _length(uses[weight], plan)
    for weight, bias in recipe.formed:
        extra = 0 if bias is None else uses[weight][0].operation.width
        total += outputs * (uses[weight][0].parameter.numel() + extra)
    return total


def _length(uses: list[Use], plan: Plan) -> int:
    """Rows of one example that meet the parameter, in all uses."""
    return sum(use.operation.length(plan.layouts[use.route]) for use in uses)


def _pairable(uses: list[Use], plan: Plan) -> bool:
    """Whether all uses have factors that fit behind one another."""
    kinds = {(type(use.operation), use.transposed) for use in uses}
    return len(kinds) == 1 and all(use.paired(plan.layouts[use.route]) for use in uses)


def _formable(uses: list[Use], plan: Plan) -> bool:
    """Whether all outputs' gradients come from one product."""
    return uses[0].operation.windowed and _pairable(uses, plan)


def _pairs_cheaper(uses: list[Use], plan: Plan, asked: Asked) -> bool:
    """Whether contracting pairs costs less than forming the gradients."""
    operation, t = uses[0].operation, _length(uses, plan)
    o, i, size = operation.width, operation.inputs, uses[0].parameter.numel()
    c, n = asked.outputs, asked.columns
    kept, products = (c, 1) if asked.blocks else (1, c)
    pair = n * t * t * (kept**2 * products * o + i + _PASS * kept**2)
    forming = t * c * operation.forming
    formed = forming + n * kept**2 * products * size + _PASS * c * size
    return asked.pairs_first or pair <= formed


def _partner(weight: str, uses: dict[str, list[Use]]) -> str | None:
    """The bias used by exactly the operations that use the weight, if there is one."""
    operation = uses[weight][0].operation
    if not operation.takes_bias:
        return None
    nodes = [use.operation.node for use in uses[weight]]
    for name, found in uses.items():
        if [use.operation.node for use in found] == nodes and all(
            use.prefix is None
            and use.operation.constant is not None
            and use.operation.shape.numel() == operation.width
            for use in found
        ):
            return name
    return None
