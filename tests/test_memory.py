"""How much memory there is: what the system has, or the control group leaves."""

import pytest
import torch

from overparam import _memory

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("system", "group", "expected"),
    [(100, None, 100), (None, 50, 50), (100, 50, 50), (50, 100, 50), (None, None, None)],
)
def test_the_narrower_bound_counts(monkeypatch, system, group, expected):
    monkeypatch.setattr(_memory, "_system", lambda: system)
    monkeypatch.setattr(_memory, "_group", lambda: group)
    assert _memory.available(CPU) == expected
    _memory.expect_room(expected or 1000, CPU, "f(x=...)", "less.")
    if expected is not None:
        with pytest.raises(MemoryError, match="less"):
            _memory.expect_room(expected + 1, CPU, "f(x=...)", "less.")


@pytest.mark.parametrize(
    ("limit", "used", "left"), [("1000", "300", 700), ("1000", "1200", 0), ("max", "300", None)]
)
def test_what_a_control_group_leaves(monkeypatch, tmp_path, limit, used, left):
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text(f"{used}\n")
    monkeypatch.setattr(_memory, "_GROUP", tmp_path)
    assert _memory._group() == left
    monkeypatch.setattr(_memory, "_GROUP", tmp_path / "none")
    assert _memory._group() is None
