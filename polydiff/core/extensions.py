"""Extensions: modules of third parties that register samplers, schedules, losses, guidance, objectives and others.

An extension is a module whose import registers names, such as `@SAMPLERS.register("mine")`, or that holds the specs of
domains and backbones (`polydiff.contract.discover`). There are three ways to name one:

- the entry-point group `polydiff.extensions` of an installed package, whose values are names of modules;
- the environment variable `POLYDIFF_PLUGINS`, paths of files or names of modules, separated as in PATH;
- `polydiff --plugin MODULE` on the command line, and `load` in Python.

Extensions of the first two ways are imported when a name is looked up that is not known. Each is imported
alone: a broken one affects nothing else. `polydiff doctor` and the error about the unknown name list it. A checkpoint
never causes an import.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from polydiff.core.isolate import Failed, isolated
from polydiff.support.errors import UserError

T = TypeVar("T")

GROUP = "polydiff.extensions"
"""Entry-point group whose values are modules to import."""
VARIABLE = "POLYDIFF_PLUGINS"
"""Environment variable that names further modules."""
PLUGIN = "--plugin"
"""Source of the extensions that `load` imports."""
HINT = f"If a module of your own holds it, add --plugin MODULE (a file or a module's name), or set {VARIABLE}."


@dataclass(frozen=True)
class Extension:
    """An extension after the attempt to import it.

    Arguments:
        name: Name of the entry point, or the module as it was given.
        source: Where it was named: "my-package 1.0", "POLYDIFF_PLUGINS" or "--plugin".
        reason: Why the import failed, on one line; "": it succeeded.
        module: The module; None while it is imported, or if that failed.
    """

    name: str
    source: str
    reason: str = ""
    module: ModuleType | None = field(default=None, repr=False, compare=False)


_loaded: dict[str, Extension] = {}
"""Name of a module or absolute path of a file -> its extension. A process tries to import each one once."""
tables: list[dict[str, Any]] = []
"""The entries of every registry, so that a failed import leaves none behind."""


def load(module: Path | str) -> None:
    """Import a module that registers names, so that a configuration can use them.

    Arguments:
        module: Path of a file that ends in .py, or the name of a module that Python finds.

    Raises:
        UserError: The module does not exist, or its import fails.
    """
    found = import_once(str(module), PLUGIN, lambda: import_module(module))
    if found.reason:
        del _loaded[key_of(str(module))]  # so that the user can correct it and load it again
        raise UserError(f"The plugin {module} cannot be imported: {found.reason}.")


def installed() -> list[Extension]:
    """Import the extensions of the entry points and of the environment variable, and return all of this process."""
    for point in entry_points(group=GROUP):
        source = f"{point.dist.name} {point.dist.version}" if point.dist else "unknown distribution"
        import_once(point.value, source, point.load, point.name)
    for module in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        import_once(module, VARIABLE, lambda module=module: import_module(module))  # type: ignore[misc]
    return list(_loaded.values())


def named() -> list[str]:
    """Return the modules that `load` has imported, for another process to import too."""
    return [found.name for found in _loaded.values() if found.source == PLUGIN]


def held(kind: type[T]) -> Iterator[tuple[T, str, str]]:
    """Yield each object of a type at the top level of an extension that is imported, its place, and its source."""
    for found in _loaded.values():
        for name, value in vars(found.module).items() if found.module else ():
            if isinstance(value, kind):
                yield value, f"{found.name}:{name}", found.source


def broken() -> str:
    """Return a sentence that lists the extensions that cannot be imported; "" if all can."""
    listed = [f"{found.name} of {found.source} ({found.reason})" for found in installed() if found.reason]
    return f"Extensions that cannot be imported: {'; '.join(listed)}." if listed else ""


def import_once(module: str, source: str, work: Callable[[], ModuleType], name: str = "") -> Extension:
    """Import an extension unless this process has tried already, and return it.

    Arguments:
        module: Name of the module, or path of the file.
        source: Where it was named, see `Extension`.
        work: Imports and returns it.
        name: Name to show; "": the module.
    """
    key = key_of(module)
    if key not in _loaded:
        _loaded[key] = Extension(name or module, source)  # before the import, since the module may look up names itself
        try:
            _loaded[key] = replace(_loaded[key], module=isolated(work))
        except Failed as error:
            forget_unloaded()
            _loaded[key] = Extension(name or module, source, str(error))
        except BaseException:
            del _loaded[key]  # Ctrl-C is no fault of the module
            raise
    return _loaded[key]


def forget_unloaded() -> None:
    """Remove what modules registered whose import failed: Python has removed such modules from `sys.modules`."""
    for table in tables:
        for name, value in list(table.items()):
            if getattr(value, "__module__", __name__) not in sys.modules:
                del table[name]


def key_of(module: str) -> str:
    """Return the key of an extension in `_loaded`: the real path of a file, or the name of a module."""
    return str(Path(module).expanduser().resolve()) if module.endswith(".py") else module


def import_module(module: Path | str) -> ModuleType:
    """Import a module by its name, or a file by its path, and return the module."""
    path = Path(module).expanduser()
    if path.suffix != ".py":
        if not all(part.isidentifier() for part in str(module).split(".")):
            raise ImportError("it is neither a file that ends in .py nor the name of a module, such as my_package.mine")
        return importlib.import_module(str(module))
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {module}")
    name = f"polydiff_plugin_{len(_loaded)}_{path.stem}"  # so that a file called random.py hides no other module
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    found = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(found)
    except BaseException:
        del sys.modules[name]
        raise
    return found
