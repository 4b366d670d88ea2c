"""The folder that OptunaHub's registry would take, by the registry's own rules."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml", reason="needs PyYAML, which comes with Optuna: the extra search")
pytest.importorskip("optuna", reason="needs Optuna: the extra search")
ROOT = Path(__file__).resolve().parents[2] / "hub" / "package"
FOLDER = ROOT / "samplers" / "soft_actor_critic"
SECTIONS = ("Abstract", "APIs", "Installation", "Example")  # those of the registry's template


def test_the_folder_holds_what_the_template_holds():
    names = {path.name for path in FOLDER.iterdir() if path.name != "__pycache__"}
    assert names == {"LICENSE", "README.md", "__init__.py", "example.py", "requirements.txt"}
    assert "<COPYRIGHT HOLDER" not in (FOLDER / "LICENSE").read_text()
    assert (FOLDER / "LICENSE").read_text().startswith("MIT License")


def test_the_page_has_its_header_and_no_html():
    text = (FOLDER / "README.md").read_text("utf-8")
    _, header, body = text.split("---\n", 2)
    fields = yaml.safe_load(header)
    for name in ("author", "title", "description", "tags", "optuna_versions", "license"):
        assert fields[name], name
    assert "sampler" in fields["tags"]
    assert not re.search(r"<\w+[^>]*>", body)
    assert [s for s in SECTIONS if f"\n## {s}\n" not in body] == []


def test_it_loads_from_its_folder_alone(monkeypatch):
    spec = importlib.util.spec_from_file_location("hub_sac", FOLDER / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "hub_sac", module)
    spec.loader.exec_module(module)
    assert str(module.SACSampler()) == "SACSampler"
    assert module.__all__ == ["SACSampler", "SACSettings"]


@pytest.mark.filterwarnings("ignore")  # of what it imports
def test_the_hubs_own_loader_takes_it_and_the_example_runs():
    hub = pytest.importorskip("optunahub", reason="optunahub is not installed")
    import optuna

    module = hub.load_local_module("samplers/soft_actor_critic", registry_root=str(ROOT))
    study = optuna.create_study(sampler=module.SACSampler(seed=0, n_startup_trials=2))
    spec = importlib.util.spec_from_file_location("hub_example", FOLDER / "example.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    study.optimize(example.objective, n_trials=4)
    assert len(study.trials) == 4
