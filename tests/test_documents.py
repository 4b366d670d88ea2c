"""The documents: commands that exist, links that lead somewhere, code that runs."""

import doctest
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
# What a build writes into docs/ is no page of ours.
WRITTEN = {"command-line.md"}
GUIDES = sorted(path for path in ROOT.glob("docs/**/*.md") if path.name not in WRITTEN)
PAGES = sorted([*ROOT.glob("*.md"), *GUIDES])
COMMANDS = ("python3 x.py demo", "python3 x.py test")

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def blocks(text: str) -> Iterator[str]:
    """The Python blocks of a page."""
    for language, code in _FENCE.findall(text):
        if language in ("python", "pycon"):
            yield code


def dead_code(text: str) -> Iterator[str]:
    """Blocks that no test would run: neither an example with prompts nor a named file.

    A block that begins with a comment such as ``# my_spec.py`` is the text of a file; it must
    at least run.
    """
    for code in blocks(text):
        if re.match(r"# \w+\.py\n", code):
            try:
                exec(compile(code, "<page>", "exec"), {"__name__": "page"})
            except Exception as error:
                yield f"{code.splitlines()[0]}: {error!r}"
        elif not doctest.DocTestParser().get_examples(code):
            yield code
        elif not code.endswith("\n\n"):
            # The closing fence would be taken for output of the last line.
            yield f"no empty line at the end of: {code}"


def dead_links(text: str, folder: Path) -> Iterator[str]:
    """Relative links to files that are not there, nor written by a build."""
    for link in _LINK.findall(_FENCE.sub("", text)):
        path = link.split("#")[0]
        built = Path(path).name in WRITTEN or "gallery/" in path
        if path and "://" not in path and not built and not (folder / path).exists():
            yield link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_python_runs(page):
    assert list(dead_code(page.read_text("utf-8"))) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page):
    assert list(dead_links(page.read_text("utf-8"), page.parent)) == []


def test_the_readme_begins_with_its_two_commands():
    text = (ROOT / "README.md").read_text("utf-8")
    assert [command for command in COMMANDS if command not in text] == []
    assert len(list(blocks(text))) > 0


def test_every_task_a_page_names_exists():
    tasks = re.findall(r'"(\w+)": \w+', (ROOT / "x.py").read_text("utf-8").split("TASKS =")[1])
    named = {task for page in PAGES for task in re.findall(r"x\.py (\w+)", page.read_text("utf-8"))}
    assert named - set(tasks) == set()


def test_every_page_is_in_a_table_of_contents():
    listed = {
        (index.parent / line.strip()).resolve()
        for index in GUIDES
        for block in re.findall(r"```\{toctree\}(.*?)```", index.read_text("utf-8"), re.DOTALL)
        for line in block.splitlines()
    }
    assert {page for page in GUIDES if page.with_suffix("") not in listed} == {
        ROOT / "docs/index.md"
    }


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_a_page_that_imports_an_extra_says_so_and_is_skipped_without_it(page):
    text = page.read_text("utf-8")
    found = re.compile(r"^>>> (?:import|from) (?:overparam\.)?(\w+)", re.MULTILINE)
    imported = found.findall("".join(blocks(text)))
    said = re.findall(r"Needs\s`pip install 'overparam\[(\w+)\]'`", text)
    known = {"battery", "lightning", "mlflow", "optuna", "transformers", "transport", "wandb"}
    extras = {"search" if name == "optuna" else name for name in known & set(imported)}
    assert extras == set(said)


def test_every_page_that_moved_is_found_at_its_old_address():
    text = (ROOT / "docs" / "conf.py").read_text("utf-8")
    settings: dict = {}
    exec(text[text.index("redirects =") : text.index("# What pages and")], settings)
    for new in settings["redirects"].values():
        assert (ROOT / "docs" / new).with_suffix(".md").exists(), new
    assert {"monitor", "concepts", "api"} <= set(settings["redirects"])


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    assert citation["title"].startswith(project["name"])


def test_hooks_run_from_the_environment_and_fetch_nothing():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    tools = project["optional-dependencies"]["dev"]
    assert [repository["repo"] for repository in hooks["repos"]] == ["local"]
    for hook in hooks["repos"][0]["hooks"]:
        assert hook["language"] == "system"
        python, module, tool, *_ = hook["entry"].split()
        assert (python, module) == (".venv/bin/python", "-m")
        assert tool in {line.split("[")[0].split(">")[0] for line in tools}, tool


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("```python\nx = 1\n```\n", dead_code),
        ("```pycon\n>>> x = 1\n```\n", dead_code),
        ("```python\n# my_spec.py\nimport nothing_of_that_name\n```\n", dead_code),
        ("see [this](docs/nowhere.md#part)", lambda text: dead_links(text, ROOT)),
    ],
    ids=["no prompt", "fence as output", "a file that fails", "dead link"],
)
def test_a_broken_page_is_rejected(text, check):
    assert list(check(text))


def test_a_sound_page_is_accepted():
    text = "```pycon\n>>> 1 + 1\n2\n\n```\n[code](x.py) [site](https://example.org)\n"
    assert list(dead_code(text)) == []
    assert list(dead_links(text, ROOT)) == []
