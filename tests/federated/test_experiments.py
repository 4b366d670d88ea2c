"""`overparam federate`: specs, runs that are kept, comparisons at equal effort."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from overparam.cli import main
from overparam.federated.experiments import one_run, tuning
from overparam.federated.experiments.conclusions import conclusions
from overparam.federated.experiments.federation import run_federation
from overparam.federated.experiments.spec_file import WITH_SERVER, checked_spec
from overparam.report.documents import read_documents
from overparam.report.federated import federated_view

SPEC = """
data = "toy.npz"
model = [6]
clients = 4
rounds = 3
local_steps = 2
batch_size = 5
[partition]
kind = "dirichlet"
alpha = 0.5
[algorithm]
name = "fadamgc"
lr = 0.02
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a small problem, where commands are run."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(200, 3))
    np.savez(tmp_path / "toy.npz", X=x, y=(x[:, 0] > 0).astype(int))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OVERPARAM_CACHE", str(tmp_path / "cache"))
    return tmp_path


def spec(folder, text=SPEC, **changes):
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "spec.toml").write_text(text, encoding="utf-8")
    return "spec.toml"


def test_a_simulation_from_a_file_has_a_page_and_numbers(folder, capsys):
    words = ["federate", spec(folder), "--json", "run.json", "--html", "run.html"]
    assert main(words) == 0
    assert "fadamgc ends with a test accuracy of" in capsys.readouterr().out
    document = json.loads((folder / "run.json").read_text("utf-8"))
    run = document["runs"][0]
    assert document["kind"] == "federated"
    assert document["environment"]["command"] == "overparam " + " ".join(words)
    assert run["curve"]["round"] == [0, 1, 2, 3]
    # Four clients, a model and a correction each way.
    assert run["curve"]["floats"][-1] == 3 * 4 * 4 * run["parameters"]
    assert len(run["client_accuracy"]) == len(document["clients"]["sizes"]) == 4
    assert sum(document["clients"]["sizes"]) == document["data"]["train"]
    assert "numbers sent" in (folder / "run.html").read_text("utf-8")


def test_without_arguments_it_shows_an_example(capsys):
    assert main(["federate"]) == 2
    told = capsys.readouterr()
    shown = told.out + told.err
    assert "overparam federate sites.toml --against scaffold,fedadam" in shown
    lines = [line.strip() for line in shown.splitlines()]
    example = [line for line in lines if re.match(r"[a-z]+ = ", line)]
    assert checked_spec(tomllib.loads("\n".join(example)), "federate").rounds == 30


def test_a_finished_run_is_kept_and_not_computed_again(folder, monkeypatch):
    first = run_federation(spec(folder)).document
    monkeypatch.setattr(one_run, "simulate", None)
    assert run_federation(spec(folder)).document["runs"] == first["runs"]
    kept = sorted(path.suffix for path in (folder / "cache" / "federate").iterdir())
    assert kept == [".json"]  # nothing of the way there


def test_a_run_that_was_killed_goes_on_with_the_same_bits(folder):
    whole = run_federation(spec(folder), keep="whole").document["runs"]
    # The process ends by SIGKILL when its second checkpoint is written.
    script = (
        "import os, signal, overparam.federated.kept_run as kept\n"
        "save, count = kept.KeptRun.save, []\n"
        "def killed(self, content):\n"
        "    save(self, content); count.append(1)\n"
        "    if len(count) == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "kept.KeptRun.save = killed\n"
        "from overparam.federated.experiments.federation import run_federation\n"
        "run_federation('spec.toml', keep='torn')\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], timeout=200, check=False)
    assert ended.returncode == -9
    assert [path.suffix for path in (folder / "torn").iterdir()] == [".pt"]
    assert run_federation("spec.toml", keep="torn").document["runs"] == whole


def test_every_algorithm_has_as_many_trials_and_none_sees_the_test(folder, monkeypatch):
    pytest.importorskip("optuna")
    seen = []
    run = one_run.Runner.run

    def watched(self, name, settings, seed):
        seen.append((name, seed, len(self.pool.x), len(self.pool.test[0])))
        return run(self, name, settings, seed)

    monkeypatch.setattr(one_run.Runner, "run", watched)
    found = run_federation(spec(folder), against=["scaffold", "fedadam"], trials=3, repeats=2)
    rows = {row["algorithm"]: row for row in found.document["tuning"]}
    assert {name: len(row["trials"]) for name, row in rows.items()} == dict.fromkeys(
        ("fadamgc", "scaffold", "fedadam"), 3
    )
    for row in rows.values():
        assert row["value"] == max(trial["value"] for trial in row["trials"])
        for key, (low, high) in row["windows"].items():
            assert all(low <= trial["settings"][key] <= high for trial in row["trials"])
    # Trials train on four fifths of the 160, are judged by the rest and use no seed of the end.
    trials = {part for part in seen if part[1] == 0}
    assert {part[2:] for part in trials} == {(128, 32)}
    assert {part[1:] for part in seen if part not in trials} == {(1, 160, 40), (2, 160, 40)}
    again = run_federation(spec(folder), against=["scaffold", "fedadam"], trials=3, repeats=2)
    assert again.document["tuning"] == found.document["tuning"]


def test_nodes_without_a_server_tell_of_consensus(folder):
    text = spec(folder, **{
        'name = "fadamgc"\nlr = 0.02': 'name = "local_sgd"\nlr = 0.1\n[topology]\n'
        'kind = "epidemic"\nk = 2',
        "clients = 4": "clients = 8", "rounds = 3": "rounds = 20",
    })  # fmt: skip
    document = run_federation(text).document
    said = {row["name"]: row for row in document["statements"]}
    topology = document["runs"][0]["topology"]
    assert said["consensus"]["threshold"] == topology["factor"]
    # The mean of 20 random rounds beside the closed form: told as such if within a factor 1.5.
    assert 0 < said["consensus"]["value"] < 1
    assert len(document["runs"][0]["client_accuracy"]) == 8


def test_a_vertical_split_tells_what_privacy_was_spent(folder):
    text = spec(folder, **{
        'name = "fadamgc"\nlr = 0.02': 'name = "dpzv"\nlr = 0.1\n[privacy]\nepsilon = 2.0\n'
        "delta = 1e-5",
        "clients = 4": "clients = 2", "batch_size = 5": "batch_size = 40",
    })  # fmt: skip
    document = run_federation(text).document
    spent = document["runs"][0]["curve"]["epsilon"]
    assert spent == sorted(spent)
    assert spent[-1] == pytest.approx(2.0, rel=1e-6)  # the bisection's
    said = {row["name"]: row for row in document["statements"]}
    assert said["privacy"]["level"] == "good"
    assert " epochs and " in said["accuracy"]["text"]
    assert "2 parties" in federated_view(read_documents(document)[0])["facts"]


def test_regressions_and_models_of_ones_own(folder):
    draw = np.random.default_rng(0)
    x = draw.normal(size=(60, 3))
    np.savez(folder / "toy.npz", X=x, y=x @ [1.0, 2.0, 3.0])
    (folder / "net.py").write_text(
        "from torch import nn\ndef model(x):\n    return nn.Linear(x.shape[1], 1)\n"
    )
    (folder / "rows.json").write_text(json.dumps([[0, 1, 2], [3, 4]]))
    text = spec(folder, **{
        "[6]": '"net.py"', 'kind = "dirichlet"\nalpha = 0.5': 'kind = "own"\nfile = "rows.json"',
        "clients = 4": "clients = 2",
    })  # fmt: skip
    document = run_federation(text).document
    assert document["clients"]["sizes"] == [3, 2]
    assert document["runs"][0]["parameters"] == 4
    assert "test_accuracy" not in document["runs"][0]["curve"]


BAD = {
    "no such file": ({}, ["absent.toml"], "absent.toml"),
    "no TOML": ({SPEC: "= 3"}, [], "TOML"),
    "unknown part": ({"rounds": "runds"}, [], "did you mean 'rounds'"),
    "rounds": ({"rounds = 3": "rounds = 0"}, [], "rounds, got 0"),
    "a word for a number": ({"clients = 4": 'clients = "4"'}, [], "clients"),
    "unknown algorithm": ({"fadamgc": "fadamg"}, [], "did you mean 'fadamgc'"),
    "unknown setting": ({"lr = 0.02": "rl = 0.02"}, [], "did you mean 'lr'"),
    "a setting out of range": ({"lr = 0.02": "lr = -1.0"}, [], "[algorithm]"),
    "no kind": ({'kind = "dirichlet"\n': ""}, [], "partition"),
    "alpha of another": ({"dirichlet": "iid"}, [], "alpha"),
    "no alpha": ({"alpha = 0.5": ""}, [], "alpha under [partition]"),
    "too many clients": ({"clients = 4": "clients = 4000"}, [], "[partition]"),
    "no data": ({"toy.npz": "toi.npz"}, [], "toi.npz"),
    "no model": ({"[6]": '"absent.py"'}, [], "absent.py"),
    "steps": ({"local_steps = 2": "local_steps = [1, 2]"}, [], "local_steps"),
    "topology": ({"[algorithm]": '[topology]\nkind = "hubs"\n[algorithm]'}, [], "local_sgd"),
    "a module for parties": (
        {
            '"fadamgc"': '"dpzv"',
            "[6]": '"net.py"',
            'kind = "dirichlet"\nalpha = 0.5': 'kind = "iid"',
        },
        [],
        "widths for model",
    ),
    "device": ({}, ["--device", "nowhere"], "--device"),
    "unknown rival": ({}, ["--against", "scafold"], "did you mean 'scaffold'"),
    "itself": ({}, ["--against", "fadamgc"], "each once"),
    "twice": ({}, ["--against", "scaffold,scaffold"], "each once"),
    "trials": ({}, ["--trials", "0"], "--trials"),
    "no folder": ({}, ["--json", "absent/run.json"], "absent"),
    "kept nowhere": ({}, ["--keep", "absent/keep"], "--keep"),
    "kept in a file": ({}, ["--keep", "toy.npz"], "--keep"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_nothing_is_computed(case, folder, capsys, monkeypatch):
    changes, words, said = BAD[case]
    name = spec(folder, **changes)
    computed = []
    monkeypatch.setattr(one_run.KeptRuns, "put", lambda *_: computed.append(1))
    words = words if words[:1] == ["absent.toml"] else [name, *words]
    assert main(["federate", *words]) == 2
    told = capsys.readouterr().err.strip()
    assert len(told.splitlines()) == 1, told
    assert said in told
    assert not computed


def row(algorithm, seed, accuracy, **more):
    curve = {"round": [0, 1], "test_accuracy": [0.1, accuracy], "floats": [0, 100], **more}
    return {"algorithm": algorithm, "seed": seed, "curve": curve, "client_accuracy": None}


@pytest.mark.parametrize(
    ("theirs", "level"),
    [([0.8, 0.79, 0.81], "info"), ([0.88, 0.91, 0.9], "unknown"), ([0.5, 0.89, 0.89], "unknown")],
)
def test_an_order_is_told_only_where_the_repeats_agree(theirs, level):
    ours = [row("fadamgc", i, 0.9) for i in range(3)]
    rivals = [row("scaffold", i, value) for i, value in enumerate(theirs)]
    said = {s.name: s for s in conclusions([*ours, *rivals], [], "fadamgc")}
    assert said["against_scaffold"].level == level
    single = conclusions([ours[0], rivals[0]], [], "fadamgc")
    assert {s.name: s for s in single}["against_scaffold"].level == "unknown"


def test_what_is_said_of_repeats_is_said_of_all_of_them():
    ours = [row("fadamgc", i, 0.9, drift=[0.0, end]) for i, end in enumerate((1.0, 2.0))]
    rivals = [row("scaffold", i, 0.8) for i in range(2)]
    said = {s.name: s for s in conclusions([*ours, *rivals], [], "fadamgc")}
    assert said["drift"].value == 1.5
    assert "scaffold sends as much as fadamgc" in said["against_scaffold"].text


def test_what_goes_wrong_is_told():
    diverged = row("fadamgc", 0, 0.1, test_loss=[2.3, None], not_finite=[0, 3])
    diverged["client_accuracy"] = [0.0, 0.9]
    said = {s.name: s.level for s in conclusions([diverged], [], "fadamgc")}
    assert said == {"training": "critical", "not_finite": "warning"}
    at_end = [{"algorithm": "fedcm", "at_end": ["lr"]}]
    said = {s.name: s.level for s in conclusions([row("fedcm", 0, 0.9)], at_end, "fedcm")}
    assert said["tuning"] == "warning"


def test_every_algorithm_of_a_server_has_a_window():
    assert set(tuning.WINDOWS) == set(WITH_SERVER)
    for name, windows in tuning.WINDOWS.items():
        assert checked_spec({"algorithm": {"name": name, **{k: v[0] for k, v in windows.items()}}},
                            "federate spec.toml").name == name  # fmt: skip


def test_interrupted_it_says_so_and_leaves_what_was_done(folder, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(one_run, "simulate", interrupted)
    assert main(["federate", spec(folder), "--json", "run.json"]) == 130
    assert not os.path.exists("run.json")
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


PAGES = Path(__file__).resolve().parents[2] / "docs" / "how-to"
SPECS = [
    block
    for page in ("federated-adam.md", "decentralised.md", "vertical-split.md")
    for block in re.findall(
        r"^```toml\n(.*?)^```$", (PAGES / page).read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
]


@pytest.mark.parametrize("text", SPECS, ids=lambda text: text.split("name = ")[1].split('"')[1])
def test_the_specs_of_the_pages_run(text, folder):
    short, count = re.subn(r"^rounds = \d+", "rounds = 1", text, flags=re.MULTILINE)
    assert count == 1
    (folder / "spec.toml").write_text(short, encoding="utf-8")
    assert len(run_federation("spec.toml").document["runs"]) == 1


def test_the_pages_have_a_spec_of_every_kind():
    assert len(SPECS) == 3
