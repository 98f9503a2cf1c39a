"""Copies of the runs that a run needs to work, in its own folder, so that it does not depend on theirs.

    RUN/parts/codec/ema.safetensors   averaged weights of the codec
                    state.json        its configuration and statistics
                    manifest.json     size and SHA-256 of both

They are copied when the run begins. Later the run reads its own copy: a codec that was moved, trained further or
deleted changes no sample.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polydiff.run.checkpoint import Tensors, pack, read_tensors, write_files
from polydiff.run.folder import PARTS
from polydiff.run.parents import open_parent
from polydiff.run.reading import EMA, KNOWN, STATE, read_manifest, read_state_file
from polydiff.support.replace import remove_folder


@dataclass(frozen=True)
class Part:
    """Weights and state of a run that another run needs.

    Arguments:
        name: The key and path that named it, for messages.
        state: Contents of its state.json.
        weights: Its averaged weights.
    """

    name: str
    state: Mapping[str, Any]
    weights: Tensors

    def save(self, run: Path, key: str) -> None:
        """Copy the part into the folder of a new run, under the key that names it."""
        path = part_path(run, key)
        remove_folder(path)  # a crash may have left it
        write_files(path, {EMA: pack(self.weights), STATE: json.dumps(dict(self.state), indent=1).encode()})


def open_part(key: str, path: Path, run: Path | None) -> Part:
    """Return the run that a key names: the copy in the folder of the run that needs it, if there is one.

    Arguments:
        key: Key of the configuration, such as "codec".
        path: Its value.
        run: Folder of the run that needs the part; None: a new run.
    """
    copied = None if run is None else part_path(run, key)
    if copied is not None and copied.is_dir():
        return read_part(f"{key} in {copied}", copied)
    return read_part(f"{key}={path}", open_parent(key, path).checkpoint)


def read_part(name: str, folder: Path) -> Part:
    """Return the part in a folder: a copy, or a checkpoint; its files are checked against their manifest."""
    manifest = read_manifest(folder, (EMA, STATE), KNOWN)
    return Part(name, read_state_file(folder, manifest), read_tensors(folder, manifest, [EMA])[EMA])


def part_path(run: Path, key: str) -> Path:
    """Return the folder of the copy of a part in a run's folder."""
    return run / PARTS / key.replace(".", "-")
