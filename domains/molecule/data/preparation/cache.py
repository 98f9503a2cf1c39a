"""The cache of prepared molecules.

Geometries take time to compute, so each prepared library is written to a folder of its own. The folder's name contains
a hash of everything the library depends on. A manifest records these inputs and the hash of the arrays. A folder whose
arrays do not match its manifest is prepared again. Folders are written atomically, so a preparation can be interrupted,
and two can run at the same time.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from polydiff.domains.molecule.data.library import Library, digest
from polydiff.domains.molecule.data.preparation.resume import remove_drafts
from polydiff.support.disk import cache_dir
from polydiff.support.files import folder_atomic

FORMAT_VERSION = 5
"""Version of the files in the cache."""
ARRAYS = ("numbers", "positions", "first", "properties", "places", "sides", "codes", "bonds", "first_bond", "charges")
"""Attributes of a library that are kept as arrays."""
FACTS = ("names", "found", "rejected", "notes", "named", "remarks", "implicit")
"""Attributes of a library that are kept in the manifest."""
TEXTS = ("smiles", "perceived")
"""Attributes of a library that are lists of text, one line for each geometry."""
COLUMNS = "texts"
"""Attribute of a library that is kept as JSON: the distinct cells of columns of text."""


def cached_library(key: Mapping[str, Any], build: Callable[[Path], Library]) -> Library:
    """Return the library of a key from the cache; if it is missing, build and store it.

    Arguments:
        key: Everything that the library depends on, as JSON values, with "name".
        build: (folder of the cache) -> library.
    """
    folder = cache_folder(key)
    library = read_library(folder)
    if library is None:
        library = build(folder)
        try:
            write_library(folder, library, key)
            remove_drafts(folder)
        except OSError as error:
            if read_library(folder) is None:  # no other process has written it meanwhile
                warnings.warn(
                    f"{folder} cannot be written ({error.strerror}), so molecules are prepared again each time. Set "
                    "POLYDIFF_CACHE to a writable folder.",
                    stacklevel=2,
                )
    return library


def cache_folder(key: Mapping[str, Any]) -> Path:
    """Return the folder of the cache for a key."""
    return cache_dir() / "molecule" / f"{key['name']}-{digest(json.dumps(key, sort_keys=True).encode())[:16]}"


def write_library(folder: Path, library: Library, key: Mapping[str, Any]) -> None:
    """Write the arrays and the manifest of a library to a folder, atomically."""
    buffer = io.BytesIO()
    arrays = {name: getattr(library, name) for name in ARRAYS}
    lines = {name: "\n".join(getattr(library, name)).encode() for name in TEXTS}
    lines |= {COLUMNS: json.dumps(library.texts, ensure_ascii=False).encode()}
    texts: dict[str, Any] = {name: np.frombuffer(text, np.uint8) for name, text in lines.items()}
    np.savez(buffer, **texts, **arrays)
    facts = {name: getattr(library, name) for name in FACTS}
    manifest = {**key, **facts, "sha256": digest(buffer.getvalue())}
    with folder_atomic(folder) as draft:
        (draft / "geometries.npz").write_bytes(buffer.getvalue())
        (draft / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


def read_library(folder: Path) -> Library | None:
    """Return the library in a folder of the cache; None if it is missing, damaged, or of another version."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        data = (folder / "geometries.npz").read_bytes()
    except (OSError, ValueError):
        return None
    if manifest.get("form") != FORMAT_VERSION or manifest.get("sha256") != digest(data):
        return None
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        known = {name: arrays[name] for name in ARRAYS} | {name: manifest[name] for name in FACTS}
        texts = {name: arrays[name].tobytes().decode().split("\n") for name in TEXTS}
        columns = json.loads(arrays[COLUMNS].tobytes())
    if not len(known["places"]):
        texts = {name: [] for name in TEXTS}
    return Library(**texts, texts=columns, **known | {"names": tuple(manifest["names"])})
