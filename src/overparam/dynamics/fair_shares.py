"""A whole divided among those that need different parts of it."""


def fair_shares(needs: dict[str, float], weights: dict[str, float]) -> dict[str, float]:
    """Parts of a whole: in proportion to weights, but nobody more than it needs before all have it.

    Example:
        >>> fair_shares({"a": 0.1, "b": 0.8, "c": 0.9}, {"a": 1.0, "b": 1.0, "c": 2.0})
        {'a': 0.1, 'b': 0.3, 'c': 0.6}
    """
    found: dict[str, float] = {}
    room, left = 1.0, dict(weights)
    while left:
        total = sum(left.values())
        content = [name for name, w in left.items() if needs[name] <= room * w / total]
        if not content:
            return found | {name: room * w / total for name, w in left.items()}
        for name in content:
            found[name] = needs[name]
            del left[name]
        room = 1 - sum(found.values())
    total = sum(weights.values())
    return {name: part + room * weights[name] / total for name, part in found.items()}
