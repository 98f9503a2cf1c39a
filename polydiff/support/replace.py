"""Replacing and deleting folders so that a crash leaves each whole, and removing the temporary files it left.

Temporary files and folders lie beside their target, so that they are on the same disk: `.NAME.HEX.tmp`.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

DRAFT = re.compile(r"\.(.+)\.[0-9a-f]{12}\.(?:tmp|old)")
"""Name of a temporary file or folder; group 1 is the name of its target."""
AT_FDCWD, RENAME_EXCHANGE = -100, 2
"""Arguments of Linux's renameat2: paths are relative to the working folder, and the two paths change places."""


def draft_of(path: Path) -> Path:
    """Return a new name for a temporary file or folder beside `path`."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")


def replace_folder(draft: Path, path: Path) -> None:
    """Rename a folder to `path`; a folder that is there already gets the name of the draft or is removed.

    On Linux the two folders change places in one step. On file systems that cannot exchange names, two renames follow
    each other; a crash between them leaves the old folder under a temporary name that `restore_old` recognises.
    """
    if not os.path.lexists(path):
        draft.rename(path)
    elif not exchanged(draft, path):
        old = draft.with_suffix(".old")
        path.rename(old)
        try:
            draft.rename(path)
        except BaseException:
            old.rename(path)
            raise
        remove(old)


def exchanged(a: Path, b: Path) -> bool:
    """Let two paths change places in one step and return True; False if the system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if os.name == "posix" else None
    return rename is not None and rename(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), RENAME_EXCHANGE) == 0


def remove(path: Path) -> None:
    """Delete a file, a link or a folder with its content; what cannot be deleted stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def remove_folder(path: Path) -> None:
    """Delete a folder so that a crash leaves it whole or under a temporary name; of a link, delete the link alone."""
    if path.is_symlink():
        path.unlink()
    else:
        old = draft_of(path)
        path.rename(old)
        remove(old)


def restore_old(folder: Path) -> None:
    """Undo replacements in a folder that a crash stopped between two renames."""
    for old in sorted(folder.glob(".*.old")):
        match = DRAFT.fullmatch(old.name)
        if match and old.is_dir() and not os.path.lexists(target := folder / match[1]):
            old.rename(target)


def remove_drafts(folder: Path, accept: Callable[[str], bool] = lambda name: True, older: float = 0.0) -> None:
    """Delete what a crash left of `write_atomic` and `folder_atomic` in a folder, after `restore_old`.

    Arguments:
        folder: The folder; it need not exist.
        accept: Receives the name of a target and returns whether its drafts are deleted.
        older: Age in seconds from which on drafts are deleted; above 0 where another process may be writing one.
    """
    if not folder.is_dir():
        return
    restore_old(folder)
    for path in list(folder.iterdir()):
        match = DRAFT.fullmatch(path.name)
        if match and accept(match[1]) and time.time() - path.lstat().st_mtime >= older:
            remove(path)


def sync_file(path: Path) -> None:
    """Flush a file to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Flush the list of names in a folder to disk, if the system can (POSIX)."""
    if os.name == "posix":
        sync_file(path)
