"""Imports point down and nothing global is touched: read from the source, without running it."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "reliab_widgets"
FILES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / PACKAGE).rglob("*.py"))

# From the bottom up: each may import those before it.
CORE = [
    f"core.{name}"
    for name in (
        "wording",
        "settings",
        "pixels",
        "fonts",
        "drawing",
        "style",
        "placing",
        "knobs",
        "archive",
        "fields",
        "known",
        "result",
        "engine",
        "analysis",
        "batching",
        "randomness",
        "validation",
        "readings",
        "opaque",
        "copies",
        "network",
        "recorded",
        "datasets",
        "capabilities",
        "subject",
        "photographs",
        "selection",
        "pools",
        "grids",
    )
]
OPS = ["ops.*"]
UI = ["ui", "ui.*"]
OWN = "analyses.{word}"
# A long picture stands in several files; words and numbers of it and of a result in others.
DRAWINGS_OF = ("drawing", "charts", "columns", "course", "maps", "marks", "ruler", "table")
TOLD_BY = ("sentences", "values")
DRAWN = [f"analyses.*.{name}" for name in DRAWINGS_OF]
PARTS = [f"{OWN}.{name}" for name in (*DRAWINGS_OF, *TOLD_BY)]
# What each module may import of the package; the first row that matches counts. {word} is the
# module's own analysis, so no row lets one analysis see another. No row names the package itself:
# its names are for users, inside they are imported from where they are defined.
LAYERS: list[tuple[str, list[str]]] = [
    ("__init__", ["*"]),
    ("core", []),
    # Checks of what is given need to know what a Subject is, when they run.
    ("core.analysis", [*CORE[: CORE.index("core.analysis")], "core.subject"]),
    # A report asks each analysis what it needs, when it is asked for.
    ("core.subject", [*CORE[: CORE.index("core.subject")], "analyses.allowed"]),
    *((name, CORE[:place]) for place, name in enumerate(CORE)),
    ("ops", []),
    ("ops.*", [*CORE, *OPS]),  # but no loose file: see test_every_file_of_ops_has_a_room
    ("analyses", []),
    ("analyses.allowed", [*CORE, "analyses", "analyses.*.compute"]),
    ("analyses.strip", [*CORE, *OPS]),  # a picture that several analyses draw under theirs
    *((name, [*CORE, *OPS, *PARTS, "analyses.strip"]) for name in DRAWN),
    ("analyses.*.result", [*CORE, *OPS, *PARTS]),
    ("analyses.*.compute", [*CORE, *OPS, OWN + ".result"]),
    ("analyses.*.panels", [*CORE, *OPS, *UI, OWN + ".*"]),
    ("analyses.*.widget", [*CORE, *OPS, *UI, OWN + ".*"]),
    ("analyses.*.*", [*CORE, *OPS, OWN + ".*"]),
    ("analyses.*", []),
    ("ui", []),
    ("ui.*", [*CORE, *OPS, *UI]),
    ("workbench", []),
    ("workbench.*", [*CORE, *OPS, *UI, "analyses", "cards", "widgets", "workbench.*"]),
    ("widgets", ["analyses", "analyses.*.widget", "workbench.widget"]),
    ("cards", CORE),
    ("cli", ["__init__", "cli.*"]),
    ("cli.*", [*CORE, "__init__", "analyses", "cards", "zoo"]),
    ("__main__", ["cli"]),
    ("zoo", [*CORE, *OPS, "zoo.*"]),
    ("zoo.*", [*CORE, *OPS, "zoo", "zoo.*"]),
]
WITH_WIDGETS = [*UI, "analyses.*.panels", "analyses.*.widget", "widgets", "workbench.*"]
WITHOUT_TORCH = [
    "__init__",
    "core.wording",
    "core.pixels",
    "core.knobs",
    "core.archive",
    "core.fields",
    "core.known",
    "core.result",
    "core.engine",
    "core.pools",
    "core.grids",
    "core.fonts",
    "core.drawing",
    "core.style",
    "core.placing",
    "ops.attacks.catalogue",
    "ops.attacks.verdict",
    "ops.calibration.bins",
    "ops.calibration.metrics",
    "ops.certificates.certificate",
    "ops.features.plan",
    "ops.statistics.*",
    "analyses",
    "analyses.strip",
    *DRAWN,
    *(f"analyses.*.{name}" for name in TOLD_BY),
    "analyses.*.result",
]

# Slow to import, so imported in the functions that need them; drawings are loaded to draw.
HEAVY = {"captum", "matplotlib", "pandas", "scipy", "sklearn", "torchvision"}
DRAWINGS = ["core.fonts", "core.drawing", "core.style", "analyses.strip", *DRAWN]
MAY_BE_HEAVY = ["zoo.*", *DRAWINGS, *WITH_WIDGETS]

IMPORTED_AS = {"pillow": "PIL", "scikit-learn": "sklearn", "torch-pruning": "torch_pruning"}
WITH_IPYWIDGETS = {"IPython", "anywidget", "ipywidgets", "traitlets"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DEPENDENCIES = WITH_IPYWIDGETS | {
    IMPORTED_AS.get(name, name)
    for name in (re.split(r"[<>=]", line)[0] for line in PROJECT["dependencies"])
}

GENERATORS = {"default_rng", "Generator", "Philox", "Random", "RandomState"}
DRAWS = {"bernoulli", "multinomial", "normal", "poisson", "rand", "randint", "randn", "randperm"}
SEEDERS = {"manual_seed", "seed", "set_rng_state"}
FOREIGN = {  # private names of torch, numpy and the standard library that have no public twin
    "_max_workers", "_mp_context", "_initializer", "_initargs", "_processes",
    "_asdict", "_replace", "_fields", "_version", "_parameters", "_modules", "_buffers",
    "_orig_mod", "_schema", "_forward_hooks", "_forward_pre_hooks", "_BatchNorm", "_InstanceNorm",
}  # fmt: skip
OWN_PROCESS = ["zoo.train"]  # a program of its own: layers draw their first weights globally


class Import(NamedTuple):
    module: str
    name: str | None
    line: int
    eager: bool

    @property
    def full(self) -> str:
        return f"{self.module}.{self.name}" if self.name else self.module


def module_name(path: str) -> str:
    """The dotted name below the package: "ops.calibration", or "ui" for ui/__init__.py."""
    parts = PurePosixPath(path).with_suffix("").parts[1:]
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


def matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def imports(tree: ast.Module, path: str) -> Iterator[Import]:
    """What a run of the file may import, in functions too, but not what only types name."""
    late: set[ast.AST] = set()
    typing: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            late.update(ast.walk(node))
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            typing.update(inner for statement in node.body for inner in ast.walk(statement))
    folder = PurePosixPath(path).parent.parts
    for node in ast.walk(tree):
        if node in typing:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, None, node.lineno, node not in late)
        elif isinstance(node, ast.ImportFrom):
            above = folder[: len(folder) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(module, alias.name, node.lineno, node not in late)


def private(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Names with an underscore that the file uses and does not define."""

    def hidden(name: str | None) -> bool:
        return bool(name) and name[0] == "_" and name[:2] != "__" and name[-1] != "_"

    defined = set(FOREIGN)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            defined.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            defined.add(node.attr)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.level or node.module == PACKAGE):
            yield from ((node.lineno, it.name) for it in node.names if hidden(it.name))
        elif isinstance(node, ast.Attribute) and hidden(node.attr) and node.attr not in defined:
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            if not own:
                yield node.lineno, node.attr


def violations(path: str, source: str, modules: set[str]) -> list[str]:
    """What the file breaks of the rules above, in words."""
    me, tree = module_name(path), ast.parse(source)
    row = next((row for pattern, row in LAYERS if fnmatchcase(me, pattern)), None)
    if row is None:
        return [f"{path}: no row of LAYERS speaks of it"]
    word = me.split(".")[1] if "." in me else ""
    allowed = [pattern.replace("{word}", word) for pattern in row]
    found = []
    for it in imports(tree, path):
        top = it.module.split(".")[0]
        said = f"{path}:{it.line} imports {it.full}"
        heavy = top in HEAVY
        if top == PACKAGE:
            target = it.full if it.full.partition(".")[2] in modules else it.module
            target = target.partition(".")[2] or "the package itself"
            if target != me and it.name != "__version__" and not matches(target, allowed):
                found.append(f"{said}: {target} is not below {me}")
            heavy = matches(target, DRAWINGS)
        elif top not in DEPENDENCIES and top not in sys.stdlib_module_names:
            found.append(f"{said}: pyproject.toml does not name it as a dependency")
        if heavy and it.eager and not matches(me, MAY_BE_HEAVY):
            found.append(f"{said} at the top: do it in the function that needs it")
        if "pyplot" in it.full or "pylab" in it.full:
            found.append(f"{said}: pyplot is global state")
        if top in WITH_IPYWIDGETS and not matches(me, WITH_WIDGETS):
            found.append(f"{said}: only the user interface may")
        if top == "torch" and matches(me, WITHOUT_TORCH):
            found.append(f"{said}: results are read where torch is not installed")
    found += [
        f"{path}:{line} uses {name}, which is private elsewhere" for line, name in private(tree)
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and not matches(me, OWN_PROCESS):
            called = ast.unparse(node.func)
            owner, _, last = called.rpartition(".")
            owned = any(keyword.arg == "generator" for keyword in node.keywords)
            if (
                (owner in {"random", "np.random", "numpy.random"} and last not in GENERATORS)
                or (owner in {"torch", "torch.random", "torch.cuda"} and last in SEEDERS)
                or (owner == "torch" and last in DRAWS and not owned)
            ):
                found.append(f"{path}:{node.lineno} calls {called}: use an own generator")
    return found


@pytest.mark.parametrize("path", FILES)
def test_file_keeps_the_rules(path: str) -> None:
    source = (ROOT / path).read_text(encoding="utf-8")
    assert not violations(path, source, {module_name(path) for path in FILES})


def test_every_file_of_ops_has_a_room() -> None:
    loose = [path for path in FILES if re.fullmatch(rf"{PACKAGE}/ops/(?!__init__)\w+\.py", path)]
    assert not loose


def test_the_front_is_thin() -> None:
    """No class of a widget is long: what is special stands there, and nothing else."""
    long = {}
    for path in FILES:
        if not matches(module_name(path), WITH_WIDGETS):
            continue
        for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.end_lineno - node.lineno >= 250:
                long[node.name] = node.end_lineno - node.lineno + 1
    assert not long


# Checked against a made-up package, whatever the real one contains.
MADE_UP = {*CORE, *UI, "ops", "ops.cal.metrics", "ops.cor.shifts", "ui.explorer", "widgets"}
MADE_UP |= {"analyses", "core"}
MADE_UP |= {
    f"analyses.{word}{part}"
    for word in ("alpha", "beta")
    for part in ("", ".drawing", ".result", ".compute", ".widget")
}


@pytest.mark.parametrize(
    ("path", "source", "words"),
    [
        ("core/result.py", "from .subject import Subject", "is not below"),
        ("ops/cal/metrics.py", "from ...analyses.alpha import result", "is not below"),
        ("ops/cal/metrics.py", "def f():\n    from ...ui import explorer", "is not below"),
        ("ops/cal/metrics.py", "import reliab_widgets.ui.explorer", "is not below"),
        ("ops/cal/metrics.py", "from ... import zoo", "is not below"),
        ("analyses/alpha/result.py", "from .compute import alpha", "is not below"),
        ("analyses/alpha/compute.py", "from ..beta.result import Beta", "is not below"),
        ("analyses/alpha/compute.py", "from .. import beta", "is not below"),
        ("analyses/alpha/compute.py", "from reliab_widgets import Subject", "is not below"),
        ("analyses/alpha/compute.py", "from .widget import AlphaWidget", "is not below"),
        ("analyses/alpha/widget.py", "from ..beta import compute", "is not below"),
        ("analyses/alpha/widget.py", "from ...widgets import BetaWidget", "is not below"),
        ("ui/explorer.py", "from ..analyses.alpha.compute import alpha", "is not below"),
        ("analyses/alpha/result.py", "import torch", "torch is not installed"),
        ("analyses/alpha/compute.py", "import matplotlib.figure", "in the function"),
        ("analyses/alpha/result.py", "from .drawing import Diagram", "in the function"),
        ("core/subject.py", "import ipywidgets", "only the user interface"),
        ("analyses/alpha/compute.py", "from IPython.display import display", "only the user"),
        ("ui/explorer.py", "def f():\n    import matplotlib.pyplot as plt", "pyplot"),
        ("core/drawing.py", "from matplotlib import pyplot", "pyplot"),
        ("core/subject.py", "import requests", "does not name it"),
        ("core/subject.py", "import numpy as np\nnp.random.seed(0)", "own generator"),
        ("core/subject.py", "import torch\ntorch.manual_seed(0)", "own generator"),
        ("ops/cor/shifts.py", "import torch\ntorch.randn(3)", "own generator"),
        ("ops/cor/shifts.py", "import random\nrandom.shuffle([1, 2])", "own generator"),
        ("ops/cor/shifts.py", "from .names import _names", "is private elsewhere"),
        (
            "ops/cor/shifts.py",
            "def f(subject):\n    return subject._network",
            "is private elsewhere",
        ),
        ("elsewhere.py", "", "no row of LAYERS"),
    ],
)
def test_planted_violation_is_found(path: str, source: str, words: str) -> None:
    found = violations(f"{PACKAGE}/{path}", source, MADE_UP)
    assert len(found) == 1
    assert words in found[0]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("core/engine.py", "if TYPE_CHECKING:\n    from .subject import Subject"),
        ("core/engine.py", "def f():\n    from .. import __version__"),
        ("analyses/alpha/result.py", "from ...core.result import Result"),
        ("analyses/alpha/result.py", "def f():\n    from .drawing import Diagram"),
        ("analyses/alpha/compute.py", "import torch\nfrom .result import Alpha"),
        ("analyses/alpha/widget.py", "import ipywidgets\nfrom ...ui.explorer import Explorer"),
        ("ops/cor/shifts.py", "import torch\ntorch.randn(3, generator=torch.Generator())"),
        ("core/subject.py", "import numpy as np\nnp.random.default_rng(0).permutation(3)"),
        ("core/subject.py", "def f(new):\n    new._kept = 1\n    return new._kept"),
        ("zoo/train.py", "import torch, torchvision\ntorch.manual_seed(0)"),
    ],
)
def test_lawful_source_passes(path: str, source: str) -> None:
    assert not violations(f"{PACKAGE}/{path}", source, MADE_UP)
