"""Stored results, the verdicts that are expected from them, and the table they make."""

import importlib
import json
from pathlib import Path

import pytest

from overparam.claims import SIZES, VERDICTS, load_study, study_names
from overparam.claims.results import gathered, read_results, verdicts
from overparam.claims.table import BEGIN, END, claim_tables, put_between, verdict_table

engine = importlib.import_module("overparam.claims.recorded")
ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"
STORED = read_results([RESULTS])


def run(seed=0, size="quick", study="a2020_b", **found):
    """A run in which claims came out so."""
    return {
        "kind": "study", "study": study, "size": size, "seed": seed, "environment": {},
        "claims": [
            {"name": name, "kind": "control" if name == "control" else "paper",
             "measured": 1.0, "verdict": verdict}
            for name, verdict in found.items()
        ],
        "series": {"s": {"kind": "line", "lines": [{"x": [*range(999)], "y": [1 / 3] * 999}]}},
    }  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "_FOLDER", tmp_path / "verdicts")
    return tmp_path / "verdicts"


def recorded(*runs, because=""):
    return [engine.record(result, because) for result in gathered(runs)]


def test_runs_with_several_seeds_are_one_result_and_long_lines_are_thinned():
    (result,) = gathered([run(2, a="weaker"), run(1, a="reproduced"), run(2, a="reproduced")])
    assert result["seed"] == 1
    assert verdicts(result) == {"a": ["reproduced", "reproduced"]}
    assert [other["seed"] for other in result["repeated"]] == [2]
    (line,) = result["series"]["s"]["lines"]
    assert len(line["x"]) == len(line["y"]) <= 120
    assert line["y"][0] == 0.33333


def test_a_verdict_may_hang_on_how_a_processor_rounds():
    here, there = (
        run(0, a=verdict) | {"environment": {"device": device}}
        for verdict, device in (("weaker", "cpu (AVX512)"), ("reproduced", "cpu (AVX2)"))
    )
    (result,) = gathered([here, there])
    assert sorted(verdicts(result)["a"]) == ["reproduced", "weaker"]
    recorded(here, there)
    assert engine.surprises(here) == engine.surprises(there) == {}


def test_what_is_recorded_surprises_nobody_and_any_change_does():
    recorded(run(0, a="weaker", b="reproduced"), run(1, a="reproduced", b="reproduced"))
    assert engine.surprises(run(5, a="weaker", b="reproduced")) == {}
    assert engine.surprises(run(5, a="reproduced", b="reproduced")) == {}
    assert engine.surprises(run(5, a="not reproduced", b="weaker")) == {
        "a": "weaker or reproduced", "b": "reproduced",
    }  # fmt: skip
    assert engine.surprises(run(5, a="weaker")) == {"b": "reproduced"}  # b was not judged


def test_a_seed_that_is_recorded_has_to_give_its_own_verdict_again():
    recorded(run(0, a="weaker"), run(1, a="reproduced"), run(2, a="reproduced"))
    assert engine.recorded("a2020_b")["quick"] == {
        "a": {"0": "weaker", "1": "reproduced", "2": "reproduced"}
    }
    for seed, verdict in ((0, "weaker"), (1, "reproduced"), (2, "reproduced")):
        assert engine.surprises(run(seed, a=verdict)) == {}
    assert engine.surprises(run(0, a="reproduced")) == {"a": "weaker"}
    assert engine.surprises(run(2, a="weaker")) == {"a": "reproduced"}
    with pytest.raises(ValueError, match="a: reproduced with seed 0, weaker with seed 1, not weak"):
        recorded(run(0, a="reproduced"), run(1, a="weaker"))


def test_a_verdict_that_improves_is_a_surprise_too():
    recorded(run(a="not reproduced"))
    assert engine.surprises(run(a="reproduced")) == {"a": "not reproduced"}


@pytest.mark.parametrize("verdict", VERDICTS)
def test_where_nothing_is_recorded_a_failure_is_a_surprise(verdict):
    failed = verdict in ("weaker", "not reproduced")
    assert bool(engine.surprises(run(a=verdict))) is failed
    recorded(run(a="reproduced"))
    assert bool(engine.surprises(run(size="full", a=verdict))) is failed
    assert bool(engine.surprises(run(a="reproduced", new=verdict))) is failed


def test_without_a_set_of_data_its_claims_are_not_judged_and_nobody_is_surprised():
    recorded(run(a="reproduced", b="weaker"))
    judged = run(a="not testable at this size", b="weaker")
    assert engine.surprises(judged) == {"a": "reproduced"}
    judged["environment"] = {"data": {"hills": "absent", "dales": "5f"}}
    assert engine.absent_sets(judged) == ["hills"]
    assert engine.unjudged(judged) == ["a"]
    assert engine.surprises(judged) == {}
    whole = run(a="reproduced", b="weaker") | {"environment": judged["environment"]}
    assert engine.unjudged(whole) == []  # fetched, or of no claim at this size
    judged["claims"][1]["verdict"] = "not reproduced"
    assert engine.surprises(judged) == {"b": "weaker"}


def test_a_record_changes_only_with_a_reason_which_is_kept(folder):
    (file,) = recorded(run(a="reproduced"))
    assert recorded(run(a="reproduced")) == [None]
    before = file.read_text()
    with pytest.raises(
        ValueError, match=r"a reason for another verdict.*\n*.*a: weaker, not repro"
    ):
        recorded(run(a="weaker"), because="  ")
    with pytest.raises(ValueError, match="a: gone, not reproduced"):
        recorded(run(b="weaker"))
    assert file.read_text() == before
    recorded(run(a="weaker"), because="the bound of the theorem has a 2 in it")
    (change,) = engine.recorded("a2020_b")["changes"]
    assert (change["was"], change["is"], change["size"]) == ("reproduced", "weaker", "quick")
    assert change["because"] == "the bound of the theorem has a 2 in it"
    recorded(run(a="weaker", b="reproduced"))  # another claim changes nothing that was recorded


def test_the_table_counts_the_papers_claims_that_held_in_every_run():
    results = gathered([
        run(0, a="reproduced", b="reproduced", control="weaker"),
        run(1, a="reproduced", b="weaker", control="weaker"),
        run(0, "full", "c", a="not reproduced", b="not testable at this size"),
    ])  # fmt: skip
    assert verdict_table(results, ["a2020_b", "c", "d"]).splitlines() == [
        "| study | quick, 2 seeds | full, 1 seed | what did not hold | controls that failed |",
        "|---|---:|---:|---|---|",
        "| `a2020_b` | 1 of 2 |  | `b`: held in 1 of 2 runs, else weaker | `control`: weaker |",
        "| `c` |  | 0 of 2 | `a`: not reproduced; 1 not testable at this size |  |",
        "",
        "No result is stored of `d`.",
    ]


def test_the_table_says_at_which_size_a_claim_did_not_hold():
    quick = run(0, a="weaker", b="reproduced", c="weaker", d="not testable at this size")
    full = run(0, "full", a="reproduced", b="not reproduced", c="weaker", d="reproduced")
    other = run(0, study="b", a="reproduced"), run(1, study="b", a="reproduced")
    head, _, row, _ = verdict_table(gathered([quick, full, *other]), []).splitlines()
    assert head.startswith("| study | quick | full, 1 seed |")  # not one number of seeds at quick
    assert row == (
        "| `a2020_b` | 1 of 4 | 2 of 4 | "
        "`a`: weaker (quick); `b`: not reproduced (full); `c`: weaker |  |"
    )


def test_every_claim_has_a_row_with_the_verdict_of_each_run():
    results = gathered([
        run(0, a="reproduced", b="reproduced", control="weaker"),
        run(1, a="weaker", b="weaker"),
    ])  # fmt: skip
    for claim, measured in zip(results[0]["claims"], (0.12345, None, 2), strict=True):
        claim |= {"measured": measured, "sentence": "Page 1: it is." * (claim["kind"] == "paper")}
    assert claim_tables(results).splitlines() == [
        "## a2020_b, quick",
        "",
        "| what it is about | claim | seed 0 | seed 1 |",
        "|---|---|---|---|",
        "| Page 1: it is. | `a` | reproduced (0.123) | weaker (1) |",
        "|  | `b` | reproduced | weaker (1) |",
        "| a control | `control` | weaker (2) | – |",
    ]


def test_a_table_goes_between_its_marks_and_nowhere_else():
    page = f"before\n{BEGIN}\nold\n{END}\nafter"
    assert put_between(page, "| new |") == f"before\n{BEGIN}\n| new |\n{END}\nafter"
    for broken in ("no marks", BEGIN + END + END, END + BEGIN):
        with pytest.raises(ValueError, match="study table --write"):
            put_between(broken, "")


def test_what_is_no_result_is_named(tmp_path):
    (tmp_path / "x.json").write_text('{"kind": "diagnosis"}')
    with pytest.raises(ValueError, match=r"x\.json` expected a study's result"):
        read_results([tmp_path])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="study run --json"):
        read_results([tmp_path / "empty"])


def test_the_readme_says_what_the_command_prints():
    table = verdict_table(STORED, study_names())
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert page == put_between(page, table)


def test_the_page_of_claims_is_what_the_command_prints():
    page = (ROOT / "docs" / "reference" / "claims.md").read_text(encoding="utf-8")
    assert page == put_between(page, claim_tables(STORED))
    rows = page.partition("## What had no claim")[2].partition(BEGIN)[0].splitlines()
    named, study = {}, ""
    for name, _, claims in (row[2:-2].split(" | ") for row in rows if " | `" in row):
        study = name.strip(" `|") or study
        named.setdefault(study, set()).update(claims.replace("`", "").split(", "))
    for study, claims in named.items():
        assert claims <= {c.name for c in load_study(study).claims if c.kind != "identity"}


def test_stored_results_are_of_claims_there_are_and_as_recorded(monkeypatch):
    monkeypatch.undo()
    for result in STORED:
        kinds = {claim.name: claim.kind for claim in load_study(result["study"]).claims}
        assert {c["name"]: c["kind"] for c in result["claims"]} == kinds, result["study"]
        assert engine.surprises(result) == {}, result["study"]


@pytest.mark.parametrize("file", sorted(engine._FOLDER.glob("*.json")), ids=lambda f: f.stem)
def test_records_are_of_claims_there_are_and_changes_have_reasons(file):
    content = json.loads(file.read_text(encoding="utf-8"))
    assert file.stem in study_names()
    names = {claim.name for claim in load_study(file.stem).claims}
    assert content.keys() <= {*SIZES, "changes"}
    last = {}
    for change in content["changes"]:
        assert change["because"].strip()
        last[change["size"], change["claim"]] = change["is"]
    for size in content.keys() - {"changes"}:
        assert content[size].keys() <= names
        for name, verdict in content[size].items():
            for words in [verdict] if isinstance(verdict, str) else verdict.values():
                assert set(words.split(" or ")) <= set(VERDICTS)
            assert last.get((size, name), verdict) == verdict
