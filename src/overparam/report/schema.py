"""What a diagnosis, a fit and a study look like, held against a document before it is drawn.

Every part of a document may be missing or `None`, which is how it says "not measured". What
is there has the type that its place in the page takes for granted; what no page shows may be
anything.
"""

from collections.abc import Callable, Mapping
from typing import Any

Place = tuple[str | int, ...]
Check = Callable[[Any, Place], None]


class Misshapen(Exception):
    """A part of a document that is not what belongs in its place."""

    def __init__(self, place: Place, expected: str, found: Any) -> None:
        super().__init__(place, expected)
        self.place, self.expected, self.found = place, expected, found


def number(value: Any, place: Place) -> None:
    """A number or nothing."""
    _expect(isinstance(value, int | float | None), place, "a number", value)


def word(value: Any, place: Place) -> None:
    """A text, a number or nothing: whatever is shown as it is."""
    _expect(isinstance(value, str | int | float | None), place, "a text or a number", value)


def shown(value: Any, place: Place) -> None:
    """A word, or a list or an object of words."""
    for part in value.values() if isinstance(value, Mapping) else _listed(value):
        word(part, place)


def anything(value: Any, place: Place) -> None:
    """What no page shows."""


def numbers(value: Any, place: Place) -> None:
    """A list of numbers, any of which may be missing."""
    for index, part in enumerate(_list(value, place, "a list of numbers")):
        _expect(isinstance(part, int | float | None), (*place, index), "numbers", part)


def counts(value: Any, place: Place) -> None:
    """A list of positive whole numbers."""
    for index, part in enumerate(_list(value, place, "a list of whole numbers")):
        whole = isinstance(part, int) and part > 0
        _expect(whole, (*place, index), "positive whole numbers", part)


def every(check: Check) -> Check:
    """A list of what passes `check`."""

    def checked(value: Any, place: Place) -> None:
        for index, part in enumerate(_list(value, place, "a list")):
            check(part, (*place, index))

    return checked


def each(check: Check, rest: Mapping[str, Check] | None = None) -> Check:
    """An object of what passes `check`, apart from members with a check of their own."""

    def checked(value: Any, place: Place) -> None:
        for name, part in _object(value, place).items():
            ((rest or {}).get(name) or check)(part, (*place, name))

    return checked


def record(**members: Check) -> Check:
    """An object whose members pass the check of their name; others are nobody's business."""
    return each(anything, members)


def rows(**members: Check) -> Check:
    """A list of objects with these members."""
    row = record(**members)

    def present(value: Any, place: Place) -> None:
        _expect(isinstance(value, Mapping), place, "an object", value)
        row(value, place)

    return every(present)


def several(**members: Check) -> Check:
    """A list of objects with these members; an object alone is not drawn."""
    one, many = record(**members), rows(**members)

    def checked(value: Any, place: Place) -> None:
        (many if isinstance(value, list) else one)(value, place)

    return checked


def curve(value: Any, place: Place) -> None:
    """A quantity along a run: a value to each step; or a list of such."""
    several(step=numbers, value=numbers)(value, place)
    for part in value if isinstance(value, list) else [value or {}]:
        steps, values = (part.get(key) or [] for key in ("step", "value"))
        paired = len(steps) == len(values) or "step" not in part or "value" not in part
        _expect(paired, place, "as many values as steps", values)


def matrix(value: Any, place: Place) -> None:
    """A square matrix with a name to each row."""
    record(names=every(word), values=every(numbers), left_out=number)(value, place)
    names, values = ((value or {}).get(key) or [] for key in ("names", "values"))
    square = all(row is not None and len(row) == len(values) for row in values)
    _expect(square, (*place, "values"), "a square matrix", values)
    _expect(len(names) == len(values), (*place, "names"), "a name to each row", names)


def _list(value: Any, place: Place, expected: str) -> list:
    _expect(isinstance(value, list | None), place, expected, value)
    return value or []


def _object(value: Any, place: Place) -> Mapping:
    _expect(isinstance(value, Mapping | None), place, "an object", value)
    return value or {}


def _listed(value: Any) -> list:
    return value if isinstance(value, list) else [value]


def _expect(condition: bool, place: Place, expected: str, found: Any) -> None:
    if not condition:
        raise Misshapen(place, expected, found)


_STATEMENTS = rows(
    name=word, text=word, value=shown, threshold=shown, action=word, level=word, bar=word
)  # fmt: skip
_ENVIRONMENT = record(seconds=number, budget_seconds=number, command=word, seed=word)
_DATA = record(
    name=word, train=number, test=number, classes=number, feature_names=every(word), loss=word,
    batch_size=number, steps_run=number, steps_planned=number, stopped=word, epochs_run=number,
    target=word, predicted=word, kind=word, scale=word,
    rows=number, columns=number, missing=number, left_out=every(word),
)  # fmt: skip
_MODEL = record(
    name=word, parameters=number, parametrisation=word, metric=word, folds=word,
    settings=each(shown), layers=rows(name=word, type=word, parameters=number),
)  # fmt: skip

_SWEEP = record(
    lr=numbers, loss=numbers, advised=number, low=number, high=number, steps=number
)  # fmt: skip
_RACE = several(rate=number, order=number, steps=number, loss=number, losses=numbers)

DIAGNOSIS = record(
    environment=_ENVIRONMENT,
    model=_MODEL,
    data=_DATA,
    advice=each(shown, {
        "stable_limit": number, "critical_batch_sizes": numbers, "mass": each(number),
        "noise_scale": each(number),
        "interval": numbers, "horizon": record(steps=number, of=number),
        "set": record(learning_rate=number, meaning=word),
    }),
    statements=_STATEMENTS,
    events=rows(
        step=number, kind=word, peak_ratio=number, steps_to_recover=number, ratio_before=number,
        top_share=number, sharpness_before=number, sharpness_after=number, reason=word,
        cause=word, outcome=word, layers=every(word), groups=every(word),
        ids=every(word),
    ),
    suspects=rows(
        id=word, label=word, predicted=word, score=number, posterior=number,
        image=every(numbers),
    ),
    series=each(curve, {
        "spectrum": record(eigenvalues=numbers, label_alignment=numbers, final=numbers),
        "agop": record(diagonal=numbers, start=numbers, image_shape=counts, names=every(word)),
        "rate_sweep": _SWEEP,
        "race": _RACE,
        "scores": record(score=numbers, posterior=numbers, suspect=numbers),
        "edge": several(step=numbers, rate=numbers, limit=numbers),
    }),
)  # fmt: skip

RUN = record(
    environment=_ENVIRONMENT,
    model=_MODEL,
    optimizer=word, steps=number, overhead=number, max_overhead=number,
    probes=rows(name=word, status=word, times=word, cost=word, part=word, next=word),
    events=rows(
        step=number, kind=word, peak_ratio=number, steps_to_recover=number, ratio_before=number,
        top_share=number, sharpness_before=number, sharpness_after=number, reason=word,
        ids=every(word),
    ),
    series=each(curve),
)  # fmt: skip

RATE = record(
    environment=_ENVIRONMENT,
    rate=number, interval=numbers, verdict=word, steps=number, planned_steps=number,
    compared=several(
        kind=word, name=word, rate=number, loss=number, steps=number, trial_steps=number
    ),
    trial_steps=number, optimizer=word, batch_size=number, stopped=word,
    curve=_SWEEP,
    trials=_RACE,
    statements=_STATEMENTS,
)  # fmt: skip

FIT = record(
    environment=_ENVIRONMENT,
    model=_MODEL,
    data=_DATA,
    scores=rows(
        name=word,
        mean=number,
        low=number,
        high=number,
        folds=numbers,
        seconds=number,
        gap=record(mean=number, low=number, high=number),
        measures=each(number),
    ),
    statements=_STATEMENTS,
    series=record(
        importances=record(names=every(word), value=numbers, low=numbers, high=numbers),
        effects=rows(name=word, kind=word, x=every(word), y=numbers, low=numbers, high=numbers),
        interactions=rows(names=every(word), share=number),
        predicted=record(
            predicted=numbers,
            observed=numbers,
            grid=numbers,
            low=numbers,
            high=numbers,
            level=number,
        ),
        calibration=record(
            of=word,
            predicted=numbers,
            observed=numbers,
            low=numbers,
            high=numbers,
            rows=numbers,
            error=number,
        ),
        confusion=record(classes=every(word), rows=every(numbers)),
        feature_matrix=matrix,
        dependence=rows(name=word, x=numbers, y=numbers, share=number),
    ),
)

ELECTRODE = record(
    environment=_ENVIRONMENT,
    process=record(name=word, bounds=each(numbers), smallest_porosity=number),
    objectives=rows(name=word, words=word, unit=word),
    surrogate=record(
        name=word, designs=number, quality=each(record(r2=number, error=number, worst=number)),
        checked=each(number),
    ),
    hypervolume=each(number),
    statements=_STATEMENTS,
    series=record(
        designs=each(every(word)),
        front=each(numbers),
        chosen=rows(
            label=word, parameters=each(number), structure=each(number), objectives=each(number),
            curves=rows(name=word, rate=number, capacity=numbers, voltage=numbers),
        ),
        effects=record(
            importance=each(record(names=every(word), share=numbers)),
            dependence=rows(parameter=word, x=numbers, y=each(numbers)),
        ),
    ),
)  # fmt: skip

FEDERATED = record(
    environment=_ENVIRONMENT,
    spec=record(
        data=word, clients=number, rounds=number, batch_size=number, local_steps=shown,
        algorithm=each(shown), partition=each(shown), topology=each(shown),
    ),
    data=_DATA,
    statements=_STATEMENTS,
    runs=rows(
        algorithm=word, seed=number, engine=word, parameters=number, settings=each(anything),
        topology=each(number), curve=each(numbers), client_accuracy=numbers,
    ),
    tuning=rows(
        algorithm=word, value=number, best=each(number), windows=each(numbers),
        trials=rows(settings=each(number), value=number), at_end=every(word),
    ),
    clients=record(count=number, sizes=numbers, classes=numbers),
)  # fmt: skip

_AXIS = record(label=word, scale=word)
STUDY = record(
    environment=_ENVIRONMENT,
    study=word, title=word, reference=word, size=word, seed=word, seconds=number,
    claims=rows(
        name=shown, statement=shown, source=shown, paper=shown, measured=shown, tolerance=shown,
        n=shown, verdict=word, kind=word, sentence=word, criterion=word,
        moved=record(old=word, new=word, reason=word),
    ),
    changed=word, cost=word, failure=word,
    repeated=rows(
        seed=word, environment=_ENVIRONMENT, claims=each(record(measured=number, verdict=word)),
    ),
    series=each(record(
        kind=word, title=word, caption=word, x=_AXIS, y=_AXIS,
        lines=rows(name=word, x=every(word), y=every(word), z=every(numbers)),
    )),
)  # fmt: skip
