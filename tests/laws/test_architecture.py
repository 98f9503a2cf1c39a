"""Laws of the layout: folders, imports, random numbers, and the contents of the wheel."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from repository import ROOT

TOPS = [ROOT / name for name in ("polydiff", "backbones", "domains")]
SOURCES = [path for top in TOPS for path in sorted(top.rglob("*.py"))]
MAX_MODULES = 12
"""Largest number of modules in a folder, without its `__init__`."""


class Facts(NamedTuple):
    """What a source says, read in one pass.

    Attributes:
        imports: Modules that it imports, anywhere in it.
        taken: Line, module (None: its own package), level and name of each name that it imports from a module.
        draws: Calls of torch's functions and methods that draw random numbers.
        defined: Names that it defines: its classes, functions, variables and types, not those that it imports.
    """

    imports: set[str]
    taken: list[tuple[int, str | None, int, str]]
    draws: list[Draw]
    defined: set[str]


class Draw(NamedTuple):
    """A call that draws random numbers.

    Attributes:
        line: Its line.
        name: The function's name.
        seeded: Whether it has a generator.
    """

    line: int
    name: str
    seeded: bool


NORMAL = {"randn", "randn_like", "normal_", "log_normal_", "normal"}
DRAWS = NORMAL | {"rand", "rand_like", "randint", "randint_like", "randperm", "multinomial", "bernoulli", "poisson"}
DRAWS |= {"bernoulli_", "cauchy_", "exponential_", "geometric_", "random_", "uniform_"}


@cache
def facts(path: Path) -> Facts:
    """Read a source."""
    tree = ast.parse(path.read_text())
    found = Facts(set(), [], [], defined(tree))
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                found.imports.update(alias.name for alias in node.names)
            case ast.ImportFrom():
                found.imports.update([node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)])
                found.taken.extend((node.lineno, node.module, node.level, alias.name) for alias in node.names)
            case ast.Call(func=ast.Attribute(attr=name, value=owner)) if name in DRAWS:
                if name.endswith("_") or ast.unparse(owner) == "torch":
                    seeded = "generator" in {keyword.arg for keyword in node.keywords}
                    found.draws.append(Draw(node.lineno, name, seeded))
    return found


def test_there_are_sources() -> None:
    assert len(SOURCES) > 40


def module_name(path: Path) -> str:
    """Name by which a source is imported: backbones and domains are installed as packages of polydiff."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "polydiff" else ("polydiff", *parts)
    return ".".join(parts).removesuffix(".__init__")


def defined(tree: ast.Module) -> set[str]:
    """Return the names that a module defines."""
    names: set[str] = set()
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
        elif isinstance(node, ast.If | ast.Try | ast.With | ast.For | ast.ExceptHandler):
            pending += [
                child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt | ast.ExceptHandler)
            ]
        elif hasattr(ast, "TypeAlias") and isinstance(node, ast.TypeAlias):
            names.add(node.name.id)
    return names


@cache
def modules() -> dict[str, set[str]]:
    """Return the names that each module of polydiff defines."""
    return {module_name(path): facts(path).defined for path in SOURCES}


def borrowed(path: Path) -> list[str]:
    """Return the imports from polydiff of names that the named module does not define."""
    return [
        f"{path.name}:{line}: {name} from {module or '.'}"
        for line, module, level, name in facts(path).taken
        if level
        or (
            ((module or "").split(".")[0] == "polydiff")
            and f"{module}.{name}" not in modules()
            and name not in modules().get(module or "", ())
        )
    ]


def test_no_module_is_loose_at_the_root() -> None:
    assert {path.name for path in (ROOT / "polydiff").glob("*.py")} == {"__init__.py", "__main__.py"}


def test_folders_are_small() -> None:
    folders = {path.parent for path in SOURCES}
    sizes = {str(f.relative_to(ROOT)): len([p for p in f.glob("*.py") if p.name != "__init__.py"]) for f in folders}
    assert {name: size for name, size in sizes.items() if size > MAX_MODULES} == {}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_names_are_imported_from_the_module_that_defines_them(path: Path) -> None:
    """The `__init__` of a package collects names for users, so only it imports names to pass them on."""
    if path.name != "__init__.py":
        assert borrowed(path) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("from polydiff import Batch", 1),
        ("from polydiff.core.streams import Tensor", 1),
        ("from polydiff.core.nowhere import name", 1),
        ("from . import sibling", 1),
        ("def f():\n    from polydiff.core.streams import Tensor", 1),
        ("from polydiff.core.streams import streams", 0),
        ("from polydiff.core import streams", 0),
        ("from torch import Tensor", 0),
    ],
)
def test_a_borrowed_name_is_seen(line: str, found: int, tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(f"{line}\n")
    assert len(borrowed(tmp_path / "module.py")) == found


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_downwards(path: Path) -> None:
    names = facts(path).imports
    tops = {name.partition(".")[0] for name in names}
    assert not tops & {"domains", "backbones"}, "import polydiff.domains and polydiff.backbones, not the folders"
    if path.is_relative_to(ROOT / "polydiff"):
        assert not any(name.startswith(("polydiff.backbones", "polydiff.domains")) for name in names)
        assert not tops & {"torchaudio", "torch_geometric", "rdkit", "soundfile", "sklearn", "PIL"}
    if path.is_relative_to(ROOT / "backbones"):
        assert not any(name.startswith("polydiff.domains") for name in names)


TIMED = {"profile.py", "step_profile.py"}
"""Files that fill tensors with random numbers only to time operations on them."""
CORE = [path for path in SOURCES if path.is_relative_to(ROOT / "polydiff")]


def test_the_core_draws_normal_numbers_in_one_place() -> None:
    """All other code calls the space, because the law of the noise is the space's."""
    normal = {str(path.relative_to(ROOT)) for path in CORE for call in facts(path).draws if call.name in NORMAL}
    assert normal == {"polydiff/core/space.py"}


def test_the_core_draws_no_number_without_a_generator() -> None:
    """A draw without a generator would depend on the global random state."""
    without = [
        f"{path.name}:{call.line}"
        for path in CORE
        for call in facts(path).draws
        if path.name not in TIMED and not call.seeded
    ]
    assert without == []


@pytest.mark.parametrize("line", ["torch.normal(0.0, 1.0, (3,))", "x.normal_()", "torch.randn_like(x)"])
def test_a_draw_is_seen(line: str, tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(f"import torch\n{line}\n")
    assert len(facts(tmp_path / "module.py").draws) == 1


def test_the_wheel_lists_every_package_on_disk() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    on_disk = {path.parent for path in SOURCES if path.name == "__init__.py"}
    names = {".".join(p.relative_to(ROOT).parts) for p in on_disk}
    assert set(listed) == {name if name.startswith("polydiff") else f"polydiff.{name}" for name in names}


LIGHT = [
    "import polydiff",
    "import polydiff.contract.sections.run, polydiff.contract.domain, polydiff.contract.discover",
    "import polydiff.config.merge",
    "import polydiff.backbones, polydiff.backbones.config",
    "import polydiff.domains.image, polydiff.domains.audio, polydiff.domains.molecule",
    "import polydiff.domains.image.config, polydiff.domains.audio.config, polydiff.domains.molecule.config",
    "from polydiff.cli import main; run('domains', 'list')",
    "from polydiff.cli import main; run('presets', 'list')",
    "from polydiff.cli import main; run('--help')",
    "from polydiff.cli import main; run('train', '--domain', 'audio', '--help')",
    "from polydiff.cli import main; run('config', 'show', '--domain', 'audio')",
]
RUN = """
import sys
def run(*words):
    sys.argv = ["polydiff", *words]
    try:
        code = main()
    except SystemExit as stop:
        code = stop.code
    assert not code, code
"""


@pytest.mark.parametrize("statement", LIGHT)
def test_light_imports_load_no_heavy_library(statement: str) -> None:
    heavy = ["torch", "torchaudio", "torch_geometric", "rdkit", "sklearn", "matplotlib", "soundfile", "PIL"]
    code = (
        f"{RUN}\n{statement}\nloaded = [name for name in {heavy!r} if name in sys.modules]\nassert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_public_names_load_and_are_few() -> None:
    import polydiff

    assert len(polydiff.__all__) <= 44
    for name in polydiff.__all__:
        assert getattr(polydiff, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'sampel'"):
        _ = polydiff.sampel
