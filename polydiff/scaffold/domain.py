"""The package of a new domain, which trains at once: written from the files in template/.

A file of the template is text in which ${name}, ${package} and ${title} stand for the name of the domain, of its
package and of its class. Its path begins with "package" where the module's folder is meant, and ends with ".tmpl".
"""

from __future__ import annotations

import keyword
import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from polydiff.contract.discover import provider
from polydiff.support.errors import UserError
from polydiff.support.files import check_free, folder_atomic

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
"""Names of domains that are names of Python's modules and of packages, too."""
ENDING = ".tmpl"


def write_domain(name: str, folder: Path) -> list[str]:
    """Write the package of a new domain to a folder, whole or not at all, and return the paths of its files in there.

    Arguments:
        name: Name of the domain, such as "weather".
        folder: The folder, absent or empty.

    Raises:
        UserError: The name cannot be that of a domain, or is that of one which is installed; the folder holds files.
    """
    check_name(name)
    check_free(folder, advice := "Choose another one with -o.")
    words = {"name": name, "package": f"polydiff_{name}", "title": name.title().replace("_", "")}
    with folder_atomic(folder, new=advice) as draft:
        for path, text in templates(files(__package__) / "template").items():
            target = draft / re.sub(r"^package", words["package"], path.removesuffix(ENDING))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(Template(text).substitute(words), encoding="utf-8")
        return sorted(str(path.relative_to(draft)) for path in draft.rglob("*") if path.is_file())


def check_name(name: str) -> None:
    """Raise UserError unless a new domain can have this name."""
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise UserError(
            f"{name!r} cannot be the name of a domain. Use small letters, digits and _, a letter first, as in weather."
        )
    if owner := provider("domain", name):
        raise UserError(f"There is a domain {name!r} already, in {owner}. Choose another name.")


def templates(folder: Traversable, prefix: str = "") -> dict[str, str]:
    """Return the files of the template: path, with "/" between its parts -> text."""
    found: dict[str, str] = {}
    for item in folder.iterdir():
        path = f"{prefix}{item.name}"
        if item.is_dir():
            found |= templates(item, f"{path}/")
        elif item.name.endswith(ENDING):
            found[path] = item.read_text(encoding="utf-8")
    return found
