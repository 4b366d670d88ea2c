"""A quantity along a run of any length, in a bounded number of points."""

from collections.abc import Iterable, Iterator, Sequence

Point = tuple[int, float | None]

# As many as a drawing has room for: `report.series.thinned` draws the extremes of as many.
_STRETCHES = 500


class Column:
    """Points by step, of which each stretch of steps keeps what shows.

    A stretch keeps its first number, its lowest, its highest, and the first step without a
    finite one. At first every step is a stretch of its own and nothing is lost; whenever there
    are too many, each two become one of twice the length. Points may come in any order.

    Cost:
        A few hundred nanoseconds a point, whatever came before; at most 500 stretches.

    Example:
        >>> column = Column()
        >>> column.extend(range(10_000), [1.0] * 5_000 + [9.0] + [1.0] * 4_999)
        >>> len(column.points()) < 2_000, max(value for _, value in column.points())
        (True, 9.0)
        >>> column.last
        (9999, 1.0)
    """

    __slots__ = ("_last", "_settled", "_settled_to", "_stretches", "_width")

    def __init__(self) -> None:
        # By number of the stretch: first, lowest, highest, first without a finite number.
        self._stretches: dict[int, list[Point | None]] = {}
        self._width = 1
        self._last: Point | None = None
        self._forget_settled()

    @property
    def last(self) -> Point | None:
        """The point of the latest step."""
        return self._last

    def extend(self, steps: Sequence[int], values: Sequence[float | None]) -> None:
        """Take points; `None` is a value that is not finite."""
        places: Iterable[int] = range(len(steps))
        if len(steps) > 4 and None not in values:
            least, most = min(steps), max(steps)
            if least // self._width == most // self._width:  # then no others can be kept
                ends = steps.index(least), steps.index(most)
                extremes = values.index(min(values)), values.index(max(values))  # pyright: ignore
                places = sorted({*ends, *extremes})
        for place in places:
            self._add((steps[place], values[place]))

    def _add(self, point: Point) -> None:
        step, value = point
        if self._last is None or step >= self._last[0]:
            self._last = point
        number = step // self._width
        stretch = self._stretches.get(number)
        if stretch is None:
            while len(self._stretches) >= _STRETCHES:
                self._widen()
                number = step // self._width
            stretch = self._stretches.setdefault(number, [None, None, None, None])
        if number < self._settled_to:
            self._forget_settled()
        first, lowest, highest, hole = stretch
        if value is None:
            if hole is None or step < hole[0]:
                stretch[3] = point
        elif first is None or lowest is None or highest is None:
            stretch[:3] = point, point, point
        else:
            if step < first[0]:
                stretch[0] = point
            if value < lowest[1]:  # type: ignore[operator]
                stretch[1] = point
            elif value > highest[1]:  # type: ignore[operator]
                stretch[2] = point

    def forget_from(self, step: int) -> None:
        """Drop what was kept of this step and later ones."""
        if self._last is None or self._last[0] < step:
            return
        self._forget_settled()
        for number in [n for n in self._stretches if (n + 1) * self._width > step]:
            # At most one of these began before the step.
            stretch = self._stretches.pop(number)
            for point in _distinct(stretch):
                if point[0] < step:
                    self._add(point)
        self._last = None
        self._last = next(reversed(self.points()), None)

    def points(self) -> list[Point]:
        """Everything kept, by step; the latest point always."""
        for number in sorted(n for n in self._stretches if n >= self._settled_to)[:-1]:
            self._settled += _distinct(self._stretches[number])
            self._settled_to = number + 1
        found = list(self._settled)
        for number in [n for n in self._stretches if n >= self._settled_to]:
            found += _distinct(self._stretches[number])
        if self._last is not None and self._last not in found[-4:]:
            found.append(self._last)
        return found

    def sample(self) -> list[Point]:
        """One finite number of each stretch, chosen by its step and not by its value."""
        firsts = (self._stretches[number][0] for number in sorted(self._stretches))
        return [point for point in firsts if point is not None]

    def lost_since(self) -> int | None:
        """The step since which no number was finite; `None` if the latest is."""
        since = None
        if self._last is not None and self._last[1] is None:
            for step, value in reversed(self.points()):
                if value is not None:
                    break
                since = step
        return since

    def _forget_settled(self) -> None:
        # Points of the stretches before this one: those of a run that goes on do not change.
        self._settled: list[Point] = []
        self._settled_to = 0

    def _widen(self) -> None:
        """Make one of each two neighbours."""
        self._forget_settled()
        narrow, self._stretches = self._stretches, {}
        self._width *= 2
        for number, stretch in narrow.items():
            other = self._stretches.setdefault(number // 2, stretch)
            if other is not stretch:
                self._stretches[number // 2] = _merged(other, stretch)


def as_entry(points: Sequence[Point]) -> dict[str, list]:
    """Points as a document's series.

    Example:
        >>> as_entry([(0, 1.0), (3, None)])
        {'step': [0, 3], 'value': [1.0, None]}
    """
    return {"step": [step for step, _ in points], "value": [value for _, value in points]}


def _distinct(stretch: Sequence[Point | None]) -> list[Point]:
    found = {point for point in stretch if point is not None}
    return sorted(found, key=lambda point: (point[0], point[1] is None))


def _merged(one: Sequence[Point | None], two: Sequence[Point | None]) -> list[Point | None]:
    """What is kept of two stretches, either of which may lack any of the four."""

    def choose(place: int, best, key) -> Point | None:
        there: Iterator[Point] = (s[place] for s in (one, two) if s[place] is not None)  # pyright: ignore
        return best(there, key=key, default=None)

    by_step, by_value = (lambda point: point[0]), (lambda point: point[1])
    return [choose(0, min, by_step), choose(1, min, by_value), choose(2, max, by_value),
            choose(3, min, by_step)]  # fmt: skip
