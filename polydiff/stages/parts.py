"""Copies of the runs that a run needs to work, in its own folder, so that it does not depend on theirs.

    RUN/parts/codec/ema.safetensors   averaged weights of the codec
                    state.json        its configuration and statistics
                    manifest.json     size and SHA-256 of both
    RUN/parts/tell-embedding/         the same of the run that the key tell.embedding names

They are copied when the run begins. Later the run reads its own copy: a run that was moved, trained further or
deleted changes no sample.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polydiff.run.checkpoint import Tensors, pack, read_tensors, write_files
from polydiff.run.folder import part_path
from polydiff.run.parents import open_parent
from polydiff.run.reading import EMA, KNOWN, STATE, read_manifest, read_state_file
from polydiff.support.errors import UserError
from polydiff.support.replace import remove_folder


@dataclass(frozen=True)
class Part:
    """Weights and state of a run that another run needs.

    Arguments:
        name: The key and path that named it, for messages.
        state: Contents of its state.json.
        weights: Its averaged weights.
        sha256: Digest of the file of these weights.
    """

    name: str
    state: Mapping[str, Any]
    weights: Tensors
    sha256: str

    def save(self, run: Path, key: str) -> None:
        """Copy the part into the folder of a new run, under the key that names it."""
        path = part_path(run, key)
        if path.exists():
            remove_folder(path)  # a crash left it
        files = {EMA: pack(self.weights), STATE: json.dumps(dict(self.state), indent=1).encode()}
        write_files(path, files, int(self.state["step"]))


def kept_part(key: str, path: Path, run: Path, record: Mapping[str, Any]) -> Part:
    """Return the copy in a run's folder; without one, the run that its key names if it is as recorded.

    Arguments:
        key: Key of the configuration, such as "codec".
        path: Its value.
        run: Folder of the run that needs the part.
        record: What the run's checkpoint records of it.

    Raises:
        UserError: There is no copy, and the run is not what it was.
    """
    copied = part_path(run, key)
    if copied.is_dir():
        try:
            return read_part(f"{key} in {copied}", copied)
        except UserError as error:
            raise UserError(f"{str(error).partition(' Move it away')[0]} Restore this copy of {key}={path}.") from error
    if path == copied:
        raise UserError(f"{copied} is missing. Copy or download the whole folder again, or export the run again.")
    found = open_parent(key, path)
    if found.sha256 != record.get("sha256"):
        raise UserError(f"{copied} is missing, and {key}={path} has other weights now. Restore the folder.")
    return read_part(f"{key}={path}", found.checkpoint)


def read_part(name: str, folder: Path) -> Part:
    """Return the part in a folder: a copy, or a checkpoint; its files are checked against their manifest."""
    manifest = read_manifest(folder, (EMA, STATE), KNOWN)
    weights = read_tensors(folder, manifest, [manifest.ema])[manifest.ema]
    return Part(name, read_state_file(folder, manifest), weights, manifest.files[manifest.ema][1])
