"""Replacing and deleting folders so that a crash leaves each whole, removing the temporary files it left, and locks.

Temporary files and folders lie beside their target, so that they are on the same disk: `.NAME.HEX.tmp`.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from polydiff.support.disk import writing
from polydiff.support.errors import UserError

DRAFT = re.compile(r"\.(.+)\.[0-9a-f]{12}\.(?:tmp|old)")
"""Name of a temporary file or folder; group 1 is the name of its target."""
AT_FDCWD, RENAME_EXCHANGE = -100, 2
"""Arguments of Linux's renameat2: paths are relative to the working folder, and the two paths change places."""
DAY = 86_400.0


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
        sync_folder(path.parent)  # else a loss of power may undo the renames alone, and leave the old folder emptied
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
        sync_folder(path.parent)  # else a loss of power may undo the rename alone, and leave the folder emptied
        remove(old)


def restore_old(folder: Path, accept: Callable[[str], bool] = lambda name: True) -> None:
    """Undo replacements in a folder that a crash stopped between two renames.

    Arguments:
        folder: The folder.
        accept: Receives the name of a target and returns whether it is restored.
    """
    for former in sorted(folder.glob(".*.old")):
        match = DRAFT.fullmatch(former.name)
        if match and accept(match[1]) and former.is_dir() and not os.path.lexists(target := folder / match[1]):
            former.rename(target)


def hold(descriptor: int) -> None:
    """Lock an open temporary file or folder, so that others see that its process lives; the lock ends with it."""
    with suppress(OSError):  # a file system without locks: there, `abandoned` goes by age
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def opened_to_lock(path: Path) -> IO[bytes]:
    """Open a file of locks, or create it. It is never emptied, and a link is not followed: it may lead anywhere."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags, 0o644)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise UserError(f"{path} is no regular file. Delete it.")
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise
        raise UserError(f"{path} is no regular file, but a link, a folder or a device. Delete it.") from error
    return os.fdopen(descriptor, "r+b")


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Let one process after the other, of those that make `path`, run this context; the lock ends with its process.

    The lock is a file beside `path`, whose folder is created. On a file system without locks, nobody waits.
    """
    with writing(path):
        make_folders(path.parent)
        opened = opened_to_lock(path.with_name(f".{path.name}.lock"))
    with opened as file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def draft_folder(draft: Path) -> Iterator[None]:
    """Create a temporary folder, which is held (`hold`) while the `with` block runs and is then removed."""
    try:
        while True:
            draft.mkdir()
            descriptor = os.open(draft, os.O_RDONLY)
            hold(descriptor)
            if draft.exists():
                break
            os.close(descriptor)  # another process took it for abandoned before it was held
        try:
            yield
        finally:
            os.close(descriptor)
    finally:
        remove(draft)


def abandoned(path: Path) -> bool:
    """Return whether the process that wrote a temporary file or folder is dead: nobody holds it (`hold`).

    Without locks, it is what has not changed for a day. So is a draft that cannot be opened, such as a broken link.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False  # its process has renamed or removed it
    except OSError:
        return path.is_symlink() or unchanged_for_a_day(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    except OSError:
        return unchanged_for_a_day(path)
    finally:
        os.close(descriptor)


def unchanged_for_a_day(path: Path) -> bool:
    """Return whether a file or folder has not changed for a day."""
    return time.time() - path.lstat().st_mtime >= DAY


def remove_drafts(folder: Path, accept: Callable[[str], bool] = lambda name: True) -> None:
    """Delete what a dead process left of `write_atomic` and `folder_atomic` in a folder, after `restore_old`.

    Arguments:
        folder: The folder; it need not exist.
        accept: Receives the name of a target and returns whether its drafts are deleted.
    """
    if not folder.is_dir():
        return
    restore_old(folder, accept)
    for path in list(folder.iterdir()):
        match = DRAFT.fullmatch(path.name)
        if match and accept(match[1]) and abandoned(path):
            remove(path)


def make_folders(path: Path) -> None:
    """Create a folder and its missing parents, and flush each to the list of names that it is in."""
    new = [place for place in (path, *path.parents) if not place.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for place in new:
        sync_folder(place.parent)


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
