"""Laws of the layout: folders, imports, random numbers, and the contents of the wheel."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from repository import ROOT

TOPS = [ROOT / name for name in ("polydiff", "backbones", "domains")]
SOURCES = [path for top in TOPS for path in sorted(top.rglob("*.py"))]
MAX_MODULES = 12
"""Largest number of modules in a folder, without its `__init__`."""


def imports(path: Path) -> set[str]:
    """Modules that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_there_are_sources() -> None:
    assert len(SOURCES) > 40


def module_name(path: Path) -> str:
    """Name by which a source is imported: backbones and domains are installed as packages of polydiff."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "polydiff" else ("polydiff", *parts)
    return ".".join(parts).removesuffix(".__init__")


def defined(path: Path) -> set[str]:
    """Names that a module defines: its classes, functions, variables and types, not those that it imports."""
    names: set[str] = set()
    pending: list[ast.AST] = list(ast.parse(path.read_text()).body)
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


def borrowed(path: Path, modules: dict[str, set[str]]) -> list[str]:
    """Imports from polydiff of names that the named module does not define.

    Arguments:
        path: Source that imports.
        modules: Names that each module of polydiff defines.
    """
    return [
        f"{path.name}:{node.lineno}: {alias.name} from {node.module or '.'}"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").split(".")[0] == "polydiff")
        for alias in node.names
        if node.level
        or (f"{node.module}.{alias.name}" not in modules and alias.name not in modules.get(node.module or "", ()))
    ]


MODULES = {module_name(path): defined(path) for path in SOURCES}


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
        assert borrowed(path, MODULES) == []


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
    assert len(borrowed(tmp_path / "module.py", MODULES)) == found


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_downwards(path: Path) -> None:
    names = imports(path)
    tops = {name.partition(".")[0] for name in names}
    assert not tops & {"domains", "backbones"}, "import polydiff.domains and polydiff.backbones, not the folders"
    if path.is_relative_to(ROOT / "polydiff"):
        assert not any(name.startswith(("polydiff.backbones", "polydiff.domains")) for name in names)
        assert not tops & {"torchaudio", "torch_geometric", "rdkit", "soundfile", "sklearn", "PIL"}
    if path.is_relative_to(ROOT / "backbones"):
        assert not any(name.startswith("polydiff.domains") for name in names)


NORMAL = {"randn", "randn_like", "normal_", "log_normal_", "normal"}
DRAWS = NORMAL | {"rand", "rand_like", "randint", "randint_like", "randperm", "multinomial", "bernoulli", "poisson"}
DRAWS |= {"bernoulli_", "cauchy_", "exponential_", "geometric_", "random_", "uniform_"}
TIMED = {"profile.py", "step_profile.py"}
"""Files that fill tensors with random numbers only to time operations on them."""


def draws(path: Path) -> list[ast.Call]:
    """Calls of torch's functions and methods that draw random numbers."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return [
        call
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in DRAWS
        and (call.func.attr.endswith("_") or ast.unparse(call.func.value) == "torch")
    ]


def test_the_core_draws_normal_numbers_in_one_place() -> None:
    """All other code calls the space, because the law of the noise is the space's."""
    normal = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "polydiff").rglob("*.py")
        for call in draws(path)
        if isinstance(call.func, ast.Attribute) and call.func.attr in NORMAL
    }
    assert normal == {"polydiff/core/space.py"}


def test_the_core_draws_no_number_without_a_generator() -> None:
    """A draw without a generator would depend on the global random state."""
    without = [
        f"{path.name}:{call.lineno}"
        for path in (ROOT / "polydiff").rglob("*.py")
        for call in draws(path)
        if path.name not in TIMED and "generator" not in {keyword.arg for keyword in call.keywords}
    ]
    assert without == []


@pytest.mark.parametrize("line", ["torch.normal(0.0, 1.0, (3,))", "x.normal_()", "torch.randn_like(x)"])
def test_a_draw_is_seen(line: str, tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(f"import torch\n{line}\n")
    assert len(draws(tmp_path / "module.py")) == 1


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

    assert len(polydiff.__all__) <= 41
    for name in polydiff.__all__:
        assert getattr(polydiff, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'sampel'"):
        _ = polydiff.sampel
