"""The shape of the source tree: who may import whom, and what a file may be called."""

import ast
import functools
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import pytest

import overparam

SOURCE = Path(overparam.__file__).parent

# A module imports from strictly lower ranks or from its own folder.
ORDER = (
    ("errors",),
    ("_errors",),
    ("_deprecated",),
    (
        "_as_before",
        "_cache",
        "_curves",
        "_environment",
        "_extras",
        "_findings",
        "_json",
        "_lazy",
        "_memory_limits",
        "_numbers",
        "_parts",
        "_switches",
        "_types",
        "_user_line",
        "_version",
    ),
    (
        "_batch",
        "_devices",
        "_ending",
        "_exclusive",
        "_files",
        "_forward",
        "_memory",
        "_order",
        "_progress",
        "_random_numbers",
        "_signals",
        "_threads",
        "_told",
        "_workers",
    ),
    ("_copies", "_kept_state", "tables"),
    ("_model", "_output", "_statement", "_training_mode", "cluster", "datasets"),
    ("_own_loss", "_values"),
    ("_arguments",),
    ("_checked",),
    ("linalg", "nets"),
    ("curvature", "tangents"),
    ("expansions",),
    ("optim",),
    ("dynamics",),
    ("diagnosis", "fitting"),
    ("integrations",),
    ("claims",),
    ("battery",),  # it runs simulations as studies run cells
    ("report", "studies"),
    ("watch",),
    ("cli",),
    ("", "__main__"),
)
RANK = {part: rank for rank, parts in enumerate(ORDER) for part in parts}
# These stand beside each other, on linalg where nothing else is said; only studies and the command
# line know them.
SIDE = ("battery", "clustering", "federated", "kernels", "search", "transport")
RANK = dict.fromkeys(SIDE, RANK["tangents"]) | RANK
KNOW_SIDE = ("fitting", "studies", "cli", "", "__main__")
# Allowed all the same, each for a reason.
EXCEPTIONS = {
    ("_statement", "report"): "a result's report(path) hands its plain data to the page it ends in",
}
# Not allowed although it points down, each for a reason.
APART = {
    ("optim", "tangents"): "optimizers take settings; what measures a model makes one for it",
}
# The page is drawn from stored data: it knows how to complain, and nothing else of ours.
REPORT_KNOWS = ("_curves", "_errors", "_files", "_lazy", "_told", "errors", "report")

# Lines of a file that does not say why it has more, and of the middle one by length.
LONGEST, MEDIAN = 450, 200
FORBIDDEN = ("utils", "helpers", "common", "misc", "core", "base")


@functools.cache
def parsed(text: str) -> ast.Module:
    """The tree of a file; every rule looks at all of them."""
    return ast.parse(text)


def modules(source: Path) -> dict[str, Path]:
    """Every module of the package by its dotted name; the package's own is overparam."""
    found = {}
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        found[".".join(("overparam", *parts))] = path
    return found


def part(module: str) -> str:
    """The package or top-level file a module belongs to."""
    return [*module.split("."), ""][1]


@functools.cache
def imports(source: Path) -> tuple[tuple[str, str, str], ...]:
    """Triples of a module, a module it imports, and the name taken from it ('' for itself)."""
    return tuple(_imports(source))


def _imports(source: Path) -> Iterator[tuple[str, str, str]]:
    known = modules(source)
    for module, path in known.items():
        for node in ast.walk(parsed(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((module, alias.name, "") for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                origin = "." * node.level + (node.module or "")
                for alias in node.names:
                    inner = f"{origin}.{alias.name}"
                    yield (module, inner, "") if inner in known else (module, origin, alias.name)


def wrong_directions(source: Path) -> Iterator[str]:
    for module, origin, _ in imports(source):
        if origin.startswith("."):
            yield f"{module}: relative import of {origin}"
        if origin.split(".")[0] != "overparam":
            continue
        here, there = part(module), part(origin)
        if here not in RANK or there not in RANK:
            yield f"{module}: {here if here not in RANK else there} has no rank"
        elif here != there and RANK[there] >= RANK[here] and (here, there) not in EXCEPTIONS:
            yield f"{module} imports {origin}, which is not below it"
        elif (here, there) in APART:
            yield f"{module} imports {origin}: {APART[here, there]}"
        elif there in SIDE and here != there and here not in KNOW_SIDE:
            yield f"{module} imports {origin}, which only studies and the command line know"


def private_across(source: Path) -> Iterator[str]:
    """Files and names with an underscore are for the package, or the file, that has them."""
    for module, origin, name in imports(source):
        if origin.split(".")[0] == "overparam" and part(module) != part(origin):
            words = [*origin.split(".")[2:], name]
            if any(word.startswith("_") and not word.startswith("__") for word in words):
                yield f"{module} imports {'.'.join(filter(None, [origin, name]))}, which is private"


def report_beyond_data(source: Path) -> Iterator[str]:
    for module, origin, _ in imports(source):
        if part(module) == "report":
            ours = origin.split(".")[0] == "overparam" and part(origin) not in REPORT_KNOWS
            if ours or origin.split(".")[0] == "torch":
                yield f"{module} imports {origin}"


def levels_counted_by_hand(source: Path) -> Iterator[str]:
    """Warnings name the user's line, however many of our own frames lie between."""
    for module, path in modules(source).items():
        for node in ast.walk(parsed(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "warnings.warn":
                levels = [ast.unparse(k.value) for k in node.keywords if k.arg == "stacklevel"]
                if levels != ["user_level()"] and not module.endswith("._deprecated"):
                    yield f"{module}: a warning with stacklevel {levels or 1}"


def studies_of_studies(source: Path) -> Iterator[str]:
    def is_study(module: str) -> bool:
        name = module.removeprefix("overparam.studies.")
        return name != module and any(word[-4:].isdigit() for word in name.split("_")[:1])

    for module, origin, _ in imports(source):
        own = module.split(".")[:3] == origin.split(".")[:3]  # a study may be a folder
        if is_study(module) and is_study(origin) and not own:
            yield f"{module} imports {origin}"


def cycles(source: Path) -> Iterator[str]:
    known = modules(source)
    below: dict[str, set[str]] = {module: set() for module in known}
    for module, origin, _ in imports(source):
        if origin in known and origin != module:
            below[module].add(origin)
    finished: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> Iterator[str]:
        if module in path:
            yield " → ".join((*path[path.index(module) :], module))
        elif module not in finished:
            for origin in sorted(below[module]):
                yield from visit(origin, (*path, module))
            finished.add(module)

    for module in known:
        yield from visit(module, ())


def through_facades(source: Path) -> Iterator[str]:
    known = modules(source)
    for module, origin, name in imports(source):
        path = known.get(origin)
        if path is None or path.name != "__init__.py":
            continue
        defined = set()
        for node in parsed(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                defined.add(node.name)
            elif isinstance(node, ast.Assign):
                defined.update(ast.unparse(target) for target in node.targets)
        if name not in defined:
            yield f"{module} imports {name or 'the package'} from {origin}, not from its file"


def long_files(source: Path) -> Iterator[str]:
    """Files that do not say why they are so long; half of all are to be short."""
    lengths = {path: path.read_text("utf-8").splitlines() for path in source.rglob("*.py")}
    for path, lines in lengths.items():
        if len(lines) > LONGEST and not any("Longer than other files" in line for line in lines):
            yield f"{path.relative_to(source)} has {len(lines)} lines"
    if median(map(len, lengths.values())) > MEDIAN:
        yield f"half of the files have more than {MEDIAN} lines"


def nameless_files(source: Path) -> Iterator[str]:
    for path in sorted(source.rglob("*")):
        if path.stem.strip("_") in FORBIDDEN:
            yield f"{path.relative_to(source)}: a noun is missing"


def loose_folders(source: Path) -> Iterator[str]:
    for folder in sorted({path.parent for path in source.rglob("*.py")}):
        if not (folder / "__init__.py").exists():
            yield f"{folder.relative_to(source)} has no __init__.py"


def public_names(source: Path) -> Iterator[str]:
    for path in sorted(source.rglob("__init__.py")):
        stub = path.with_suffix(".pyi")
        path = stub if stub.exists() else path
        here = path.relative_to(source)
        tree = parsed(path.read_text("utf-8"))
        lists = [
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        ]
        if not lists:
            yield f"{here} has no __all__"
            continue
        # As ruff sorts them: constants, classes, functions.
        ordered = sorted(lists[0], key=lambda name: (not name.isupper(), name[0].islower(), name))
        if lists[0] != ordered:
            yield f"{here}: __all__ is not sorted"


def eager_facades(source: Path) -> Iterator[str]:
    """Packages that load what they offer; a study in a folder is a module, and does."""
    for path in sorted(source.rglob("__init__.py")):
        here = path.relative_to(source)
        study = here.parts[0] == "studies" and len(here.parts) > 2
        origins = {
            (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name
            for node in ast.walk(parsed(path.read_text("utf-8")))
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
        if not study and origins - {"overparam._lazy", "overparam._deprecated"}:
            yield f"{here} imports {', '.join(sorted(origins))}"


def stubs(source: Path) -> Iterator[str]:
    """What a stub takes from another file, or offers and does not take."""
    for path in sorted(source.rglob("*.pyi")):
        here = path.relative_to(source)
        text = path.read_text("utf-8")
        if not text.isascii():  # It is read in the encoding of the system.
            yield f"{here} is not ASCII"
        taken: set[str] = set()
        for node in parsed(text).body:
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                file = path.parent.joinpath(*(node.module or "").split("."))
                taken.update(alias.name for alias in node.names)
                if node.module and not file.with_suffix(".py").exists():
                    yield f"{here}: {node.module} is no file of it"
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                offered = ast.literal_eval(node.value)
                for name in sorted({*offered} - taken):
                    yield f"{here} offers {name} from nowhere"
            else:
                yield f"{here}: {ast.unparse(node)}"


CHECKS: list[Callable[[Path], Iterator[str]]] = [
    wrong_directions,
    private_across,
    report_beyond_data,
    studies_of_studies,
    cycles,
    through_facades,
    levels_counted_by_hand,
    long_files,
    nameless_files,
    loose_folders,
    public_names,
    eager_facades,
    stubs,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_source_tree_keeps(check):
    assert list(check(SOURCE)) == []


SOUND = {
    "__init__.py": "__all__ = []\n",
    "_errors.py": "",
    "_lazy.py": "",
    "linalg/__init__.py": "from overparam._lazy import attach\n"
    "__getattr__, __dir__, __all__ = attach(__name__, __file__)",
    "linalg/__init__.pyi": "from .lanczos import Pairs, top\n__all__ = ['Pairs', 'top']",
    "linalg/lanczos.py": "from overparam._errors import expect\n",
    "optim/__init__.py": "__all__ = []",
    "optim/rates.py": "import torch\nfrom overparam.linalg.lanczos import top\n",
    "report/__init__.py": "__all__ = []",
    "report/page.py": "from overparam._errors import expect\n",
    "studies/__init__.py": "__all__ = []",
    "studies/liu2020_constancy.py": "from overparam.kernels.rfm import RFM\n",
    "kernels/__init__.py": "__all__ = []",
    "kernels/rfm.py": "from overparam.linalg import lanczos\n",
}


@pytest.fixture
def tree(tmp_path):
    def write(**changes):
        for name, text in {**SOUND, **changes}.items():
            path = tmp_path / "overparam" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path / "overparam"

    return write


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_sound_specimen_is_accepted(check, tree):
    assert list(check(tree())) == []


@pytest.mark.parametrize(
    ("check", "broken"),
    [
        (wrong_directions, {"linalg/lanczos.py": "from overparam.optim.rates import rate"}),
        (wrong_directions, {"linalg/lanczos.py": "def f():\n    import overparam.optim.rates"}),
        (wrong_directions, {"optim/rates.py": "from .advice import rate"}),
        (wrong_directions, {"optim/rates.py": "from overparam.dynamics.monitor import Monitor"}),
        (wrong_directions, {"studies/liu2020_constancy.py": "import overparam.report.page"}),
        (wrong_directions, {"optim/rates.py": "from overparam.kernels.rfm import RFM"}),
        (wrong_directions, {"optim/mass.py": "def f():\n    import overparam.tangents.operator"}),
        (wrong_directions, {"kernels/rfm.py": "from overparam.transport.maps import Map"}),
        (wrong_directions, {"report/page.py": "from overparam.studies.engine import run"}),
        (wrong_directions, {"claims/run.py": "from overparam.studies.liu2020_constancy import S"}),
        (wrong_directions, {"linalg/lanczos.py": "from overparam.claims.claim import Claim"}),
        (wrong_directions, {"extras/new.py": "from overparam.linalg.lanczos import top"}),
        (private_across, {"optim/rates.py": "from overparam.linalg.lanczos import _start"}),
        (private_across, {"optim/rates.py": "from overparam.linalg._pairs import top"}),
        (private_across, {"optim/rates.py": "def f():\n    import overparam.linalg._pairs"}),
        (report_beyond_data, {"report/page.py": "import torch"}),
        (report_beyond_data, {"report/page.py": "from torch.nn import Module"}),
        (report_beyond_data, {"report/page.py": "from overparam.dynamics.monitor import Monitor"}),
        (
            studies_of_studies,
            {
                "studies/liu2020_constancy.py": "from overparam.studies.zhu2022_dag import net",
                "studies/zhu2022_dag.py": "",
            },
        ),
        (
            cycles,
            {
                "linalg/lanczos.py": "from overparam.linalg.traces import trace",
                "linalg/traces.py": "def f():\n    from overparam.linalg import lanczos",
            },
        ),
        (through_facades, {"optim/rates.py": "from overparam.linalg import top"}),
        (through_facades, {"optim/rates.py": "from overparam import linalg, top"}),
        (through_facades, {"optim/rates.py": "import overparam"}),
        (levels_counted_by_hand, {"optim/mass.py": "warnings.warn('slow', stacklevel=3)"}),
        (levels_counted_by_hand, {"optim/mass.py": "warnings.warn('slow')"}),
        (long_files, {"optim/rates.py": "\n" * (LONGEST + 1)}),
        (long_files, {f"optim/rates_{i}.py": "\n" * (MEDIAN + 1) for i in range(len(SOUND) + 1)}),
        (nameless_files, {"optim/utils.py": ""}),
        (nameless_files, {"core/rates.py": ""}),
        (nameless_files, {"optim/_helpers.py": ""}),
        (loose_folders, {"optim/adaptive/adam.py": ""}),
        (public_names, {"linalg/__init__.pyi": "__all__ = ['top', 'Pairs']"}),
        (public_names, {"linalg/__init__.pyi": ""}),
        (public_names, {"optim/__init__.py": ""}),
        (eager_facades, {"linalg/__init__.py": "from overparam.linalg.lanczos import top"}),
        (eager_facades, {"linalg/__init__.py": "def f():\n    import torch"}),
        (stubs, {"linalg/__init__.pyi": "from overparam.optim.rates import rate"}),
        (stubs, {"linalg/__init__.pyi": "from .gone import top"}),
        (stubs, {"linalg/__init__.pyi": "__all__ = ['top']"}),
        (stubs, {"linalg/__init__.pyi": "# \u03bb\n__all__ = []"}),
    ],
)
def test_a_broken_specimen_is_rejected(check, broken, tree):
    assert list(check(tree(**broken)))


@pytest.mark.parametrize(
    "module", [name for name, path in modules(SOURCE).items() if path.name == "__init__.py"]
)
def test_every_public_name_exists(module):
    package = importlib.import_module(module)
    assert [name for name in package.__all__ if not hasattr(package, name)] == []
