"""Writing to a disk that is full, damaged or forbidden: one error that names the path, the space and what to do.

And where the cache lies. Importing this module takes little time.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polydiff.support.errors import UserError

NO_SPACE = "Delete files there, or use a folder on a larger disk."
FORBIDDEN = "Allow this user to write there, or use another folder."
CAUSES = {
    errno.ENOSPC: ("the disk is full", NO_SPACE),
    errno.EDQUOT: ("the quota of this user is used up", NO_SPACE),
    errno.EFBIG: (
        "the file would be larger than this process, or the file system, allows",
        "Raise the limit (`ulimit -f`), or use a folder on another file system.",
    ),
    errno.EIO: ("the disk reports an error", "Check the disk, and copy what is on it to another one."),
    errno.EROFS: ("the file system is read-only", "Mount it for writing, or use another folder."),
    errno.EACCES: ("permission is denied", FORBIDDEN),
    errno.EPERM: ("the operation is not permitted", FORBIDDEN),
}
"""Number of an error of the system -> what it means, and what to do."""
UNITS = ("bytes", "kB", "MB", "GB", "TB")


class WriteError(UserError, OSError):
    """A file or folder cannot be written; what was there before is unharmed."""

    def __init__(self, message: str, cause: OSError) -> None:
        super().__init__(message)
        self.errno, self.strerror = cause.errno, cause.strerror

    def __str__(self) -> str:
        return str(self.args[0])


def in_units(size: int) -> str:
    """Return a number of bytes as people read it: "12 bytes", "3.4 MB"."""
    value, unit = float(size), 0
    while value >= 999.5 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{size} bytes" if unit == 0 else f"{value:.3g} {UNITS[unit]}"


def free_space(path: Path) -> int | None:
    """Return the bytes that are free where a path is or will be; None if the file system does not say."""
    for place in (path, *path.absolute().parents):
        try:
            found = shutil.disk_usage(place)
        except FileNotFoundError:
            continue
        except OSError:
            return None
        return found.free if found.total else None  # some network file systems state 0 for all
    return None


@contextmanager
def writing(path: Path, need: int = 0, draft: Path | None = None) -> Iterator[None]:
    """Turn an error of the system in the `with` block into a `WriteError`, if it is one of writing to a path.

    Arguments:
        path: File or folder that is written.
        need: Its size in bytes; 0: not known.
        draft: What is written in its place until it is complete; None: none, or unknown.
    """
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        if error.errno not in CAUSES or not concerns(error, path, draft):
            raise
        raise write_error(path, need, error) from error


def concerns(error: OSError, path: Path, draft: Path | None) -> bool:
    """Return whether an error names no file, or one that is written: a path, a folder of it, or its draft."""
    if not isinstance(error.filename, str | os.PathLike):
        return True
    place = Path(error.filename)
    return draft is None or place in (path, draft, *path.parents) or draft in place.parents


def write_error(path: Path, need: int, cause: OSError) -> WriteError:
    """Return the error for a path that cannot be written.

    Arguments:
        path: The file or folder.
        need: Its size in bytes; 0: not known.
        cause: The error of the system, with a number of `CAUSES`.
    """
    what, advice = CAUSES[cause.errno or 0]
    free = free_space(path)
    sizes = [f"{in_units(need)} are needed"] if need else []
    sizes += [] if free is None else [f"{in_units(free)} are free"]
    space = f" ({', '.join(sizes)})" if sizes else ""
    return WriteError(f"{path} cannot be written: {what}{space}. {advice}", cause)


def check_space(path: Path, need: int) -> None:
    """Raise `WriteError` if a path is on a disk that has less than `need` free bytes."""
    free = free_space(path)
    if free is not None and free < need:
        raise write_error(path, need, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))


def cache_dir() -> Path:
    """Return the folder of the cache: $POLYDIFF_CACHE, else $XDG_CACHE_HOME/polydiff, else ~/.cache/polydiff."""
    root = (
        os.environ.get("POLYDIFF_CACHE")
        or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "polydiff"
    )
    return Path(root)
