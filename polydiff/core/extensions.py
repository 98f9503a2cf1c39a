"""Extensions: modules of third parties that register samplers, schedules, losses, guidance, objectives and the like.

An extension is a module whose import registers names, such as `@SAMPLERS.register("mine")`. There are three ways to
give one:

- the entry-point group `polydiff.core.extensions` of an installed package, whose values are names of modules;
- the environment variable `POLYDIFF_PLUGINS`, paths of files or names of modules, separated as in PATH;
- `polydiff --plugin MODULE` on the command line, and `load` in Python.

Those of the first two ways are imported when a registry does not know a name that somebody asks for, each alone: a
broken one is listed by `polydiff doctor` and in the error about the name, and affects nothing else. A checkpoint never
causes an import.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from polydiff.support.errors import UserError, one_line

GROUP = "polydiff.core.extensions"
"""Entry-point group of the modules to import."""
VARIABLE = "POLYDIFF_PLUGINS"
"""Environment variable with further ones."""
HINT = f"If a module of your own registers it, add --plugin MODULE (a file or a module's name), or set {VARIABLE}."


@dataclass(frozen=True)
class Extension:
    """One extension.

    Arguments:
        name: Of the entry point, or the module as it was given.
        source: "my-package 1.0", the variable's name, or "--plugin".
        reason: Why it could not be imported, in one line; "": it was.
    """

    name: str
    source: str
    reason: str = ""


_loaded: dict[str, Extension] = {}
"""Module's name or absolute path -> what became of it. Each is imported once in a process, broken ones too."""


def load(module: Path | str) -> None:
    """Import a module that registers names, so that a configuration can use them.

    Arguments:
        module: Path of a file that ends in .py, or the name of a module that Python finds.

    Raises:
        UserError: There is no such module, or its import fails.
    """
    found = attempt(str(module), "--plugin", lambda: import_module(module))
    if found.reason:
        del _loaded[key_of(str(module))]  # so that it can be mended and given again
        raise UserError(f"The plugin {module} cannot be imported: {found.reason}.")


def installed() -> list[Extension]:
    """Import what the entry points and the environment variable name, and return all extensions of this process."""
    for point in entry_points(group=GROUP):
        source = f"{point.dist.name} {point.dist.version}" if point.dist else "unknown distribution"
        attempt(point.value, source, point.load, point.name)
    for module in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        attempt(module, VARIABLE, lambda module=module: import_module(module))  # type: ignore[misc]
    return list(_loaded.values())


def broken() -> str:
    """Return a sentence that lists the extensions that cannot be imported, or ""."""
    listed = [f"{one.name} of {one.source} ({one.reason})" for one in installed() if one.reason]
    return f"Extensions that cannot be imported: {'; '.join(listed)}." if listed else ""


def attempt(module: str, source: str, work: Callable[[], object], name: str = "") -> Extension:
    """Import an extension unless that was tried before, and return what became of it."""
    key = key_of(module)
    if key not in _loaded:
        _loaded[key] = Extension(name or module, source)  # before the import, which may ask a registry itself
        try:
            work()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - an extension may fail in any way; it fails alone
            _loaded[key] = Extension(name or module, source, one_line(error))
        except BaseException:
            del _loaded[key]  # Ctrl-C says nothing about the module
            raise
    return _loaded[key]


def key_of(module: str) -> str:
    """Return what identifies an extension: the absolute path of a file, the name of a module."""
    return str(Path(module).expanduser().absolute()) if module.endswith(".py") else module


def import_module(module: Path | str) -> ModuleType:
    """Import a module by its name, or a file by its path."""
    path = Path(module).expanduser()
    if path.suffix != ".py":
        return importlib.import_module(str(module))
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {module}")
    name = f"polydiff_plugin_{len(_loaded)}_{path.stem}"  # a file called random.py must hide no other module
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
