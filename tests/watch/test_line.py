"""A line of a record becomes values that can be trusted, or is left out alone."""

import json
import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from overparam.watch import RunFile
from overparam.watch.line import read_line
from overparam.watch.page import update

# What a monitor writes, one of each kind and more.
REAL = [
    {"begin": 0, "pid": 1, "host": "here", "at": 1.5, "model": "Net", "parameters": 12,
     "optimizer": "SGD"},
    {"steps": [0, 1, 2], "loss": [3.0, 2.0, None], "lr": [0.1, 0.1, 0.05]},
    {"step": 1, "sharpness": 4.0, "sharpness_limit": 20.0, "stability_ratio": 0.2, "overhead": 0.1},
    {"step": 1, "grad_norm": 1.0, "update_norm": 0.1, "weight_norm": 2.0, "distance": 0.5},
    {"step": 2, "loss_top": 1.0, "loss_rest": 0.5, "eigenvalue_1": 3.0, "batch_critical_lr": 0.3},
    {"step": 2, "noise_rate": 0.1, "suspect_loss": 2.0, "rho": 1.5, "armed": 1.0},
    {"rising": {"kind": "unexplained", "reason": "the loss", "step": 1, "peak_ratio": 9.0}},
    {"event": {"kind": "catapult", "reason": "ratio 2", "step": 1, "peak_ratio": 9.0,
               "steps_to_recover": 3, "ratio_before": 1.2, "top_share": 0.99,
               "sharpness_before": 9.0, "sharpness_after": 3.0, "quadratic": True,
               "finite": True, "ids": [1, 2, 3, 4, 5, 6, 7]}},
    {"event": {"kind": "bad batch", "cause": "bad batch", "outcome": "recovered", "reason": "its",
               "step": 2, "layers": ["0"], "groups": ["head"], "batch_share": 1.0}},
    {"rising": None},
    {"end": 3, "at": 2.5},
    {"begin": 2, "pid": 1, "host": "here", "model": "Net", "parameters": 12, "optimizer": "SGD"},
]  # fmt: skip
WRONG = [
    b'{"event": null}',
    b'{"event": []}',
    b'{"event": {"step": 1, "kind": 3}}',
    b'{"event": {"step": 1, "kind": "x", "cause": 3}}',
    b'{"event": {"step": 1, "kind": "x", "layers": [3]}}',
    b'{"event": {"step": 1, "kind": "x", "layers": "3"}}',
    b'{"event": {"step": 1, "kind": "x", "peak_ratio": "9"}}',
    b'{"event": {"step": 1, "kind": "x", "ids": [{}]}}',
    b'{"rising": "x"}',
    b'{"begin": [1]}',
    b'{"begin": null}',
    b'{"begin": true}',
    b'{"begin": -1}',
    b'{"end": "3"}',
    b'{"steps": [5], "loss": ["high"], "lr": [0.1]}',
    b'{"steps": [5], "loss": [1.0, 2.0], "lr": [0.1]}',
    b'{"steps": [5.5], "loss": [1.0], "lr": [0.1]}',
    b'{"steps": [-5], "loss": [1.0], "lr": [0.1]}',
    b'{"steps": [true], "loss": [1.0], "lr": [0.1]}',
    b'{"steps": {"5": 1}, "loss": [1.0], "lr": [0.1]}',
    b'{"steps": [5], "loss": {"a": 1}}',
    b'{"steps": [1' + b"0" * 400 + b'], "loss": [1.0]}',
    b'{"step": 5, "sharpness": {"a": 1}}',
    b'{"step": 5, "sharpness": true}',
    b'{"step": 5, "sharpness": 1' + b"0" * 5000 + b"}",
    b"[" * 100_000,
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    b"\xff\xfe\x00{}",
    b"\x00\x00",
    b'{"steps": [5], "lo',
    b"3",
    b'"text"',
]


@pytest.mark.parametrize("line", WRONG, ids=lambda line: line[:40].decode("latin-1"))
def test_a_wrong_line_is_left_out_and_no_other(tmp_path, line):
    path = tmp_path / "run.jsonl"
    before, after = (json.dumps(entry).encode() for entry in REAL[:2])
    path.write_bytes(b"\n".join([before, line, after, b""]))
    run = RunFile(path)
    assert run.read()
    assert run.skipped == 1
    assert run.facts["model"] == "Net"
    assert run.series["loss"] == {"step": [0, 1, 2], "value": [3.0, 2.0, None]}
    assert "1 line of the record could not be read" in update(run)["facts"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "1" + "0" * 400])
@pytest.mark.parametrize("name", ["loss", "lr"])
def test_a_number_that_is_not_finite_is_said_to_be(tmp_path, name, number):
    path = tmp_path / "run.jsonl"
    values = {"loss": "[2.0, 1.0, 1.0]", "lr": "[0.1, 0.1, 0.1]"}
    values[name] = f"[2.0, {number}, {number}]"
    path.write_text(f'{{"steps": [4, 5, 6], "loss": {values["loss"]}, "lr": {values["lr"]}}}\n')
    run = RunFile(path)
    run.read()
    news = update(run)
    assert f"{name} not finite since step 5" in news["facts"]
    assert run.series[name]["value"] == [2.0, None, None]
    json.loads(json.dumps(news, allow_nan=False))
    if name == "loss":
        assert "no longer finite" in news["figures"]["loss"]["title"]
    path.write_text('{"steps": [7], "loss": [1.0], "lr": [0.1]}\n')
    run.read()
    assert "not finite" not in update(run)["facts"]


def test_halves_of_characters_can_be_sent(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_text(
        '{"begin": 0, "model": "\\ud800", "optimizer": "\\udfff", "parameters": 1}\n'
        '{"event": {"step": 1, "kind": "\\ud800", "reason": "\\ud800\\u0000"}}\n'
        '{"step": 1, "\\ud800": 1.0, "loss": 1.0}\n'
    )
    run = RunFile(path)
    run.read()
    assert run.skipped == 0
    json.dumps(update(run), ensure_ascii=False).encode()


def test_extremes_of_what_a_number_can_be_are_drawn(tmp_path):
    names = {name for entry in REAL for name in entry if "step" in entry} - {"step"}
    path = tmp_path / "run.jsonl"
    extremes = [1.7e308, 5e-324, -1.7e308, 1e75, 1e-75, 0, 1.0, 2**53]
    lines = [
        json.dumps({"step": step, **dict.fromkeys(names, value)})
        for step, value in enumerate([*extremes, *extremes[::-1]])
    ]
    mixed = [
        json.dumps({"step": 20 + i, name: extremes[(i + j) % len(extremes)]})
        for i in range(8)
        for j, name in enumerate(sorted(names))
    ]
    path.write_text("\n".join([*lines, *mixed, ""]))
    run = RunFile(path)
    run.read()
    assert run.skipped == 0
    strict(run)


def strict(run: RunFile) -> dict:
    return json.loads(json.dumps(update(run), allow_nan=False), parse_constant=pytest.fail)


numbers = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from([math.inf, math.nan, 1e308, -1e308, 5e-324, 10**400, True, None]),
)
values = st.recursive(
    st.one_of(numbers, st.text(st.characters(exclude_categories=[])), st.booleans()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(sorted({k for e in REAL for k in e})), inner, max_size=4),
    ),
    max_leaves=8,
)


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """Where in a document something stands."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, item in inside:
        found.append((*path, key))
        if isinstance(item, dict | list):
            found += places(item, (*path, key))
    return found


@st.composite
def mutated(draw) -> bytes:
    """A real record in which something stands where it has no place, or some bytes are wrong."""
    entries = json.loads(json.dumps(REAL))
    for _ in range(draw(st.integers(0, 4))):
        *way, last = draw(st.sampled_from(places(entries)))
        target = entries
        for key in way:
            target = target[key]
        if draw(st.booleans()) or not isinstance(target, dict):
            target[last] = draw(values)
        else:
            del target[last]
        if not all(isinstance(entry, dict | list) for entry in entries):
            break
    lines = [json.dumps(entry).encode() for entry in entries]
    for _ in range(draw(st.integers(0, 2))):
        index = draw(st.integers(0, len(lines) - 1))
        start = draw(st.integers(0, len(lines[index])))
        lines[index] = (
            lines[index][:start] + draw(st.binary(max_size=3)) + lines[index][start + 1 :]
        )
    order = draw(st.permutations(lines)) if draw(st.booleans()) else lines
    return b"\n".join([*order, b""])


@settings(max_examples=60, deadline=None)
@given(record=mutated(), more=st.lists(values, max_size=3))
def test_whatever_stands_in_a_record_there_is_an_answer(record, more, tmp_path_factory):
    path = tmp_path_factory.mktemp("record") / "run.jsonl"
    path.write_bytes(record + b"".join(json.dumps(value).encode() + b"\n" for value in more))
    run = RunFile(path)
    run.read()
    strict(run)
    with path.open("ab") as file:
        file.write(b'\n{"steps": [3], "loss": [1.0], "lr": [0.1]}\n')
    run.read()
    assert 1.0 in strict(run)["figures"]["loss"]["drawing"]["data"][0]["y"]


@settings(deadline=None)
@given(value=values)
@example(value={"step": 1, "": None})
def test_a_line_says_one_of_five_things_or_nothing(value):
    entry = read_line(json.dumps(value).encode())
    if entry:
        assert len({"begin", "steps", "event", "rising", "end"} & entry.keys()) == 1
        json.dumps(entry, allow_nan=False, ensure_ascii=False).encode()
