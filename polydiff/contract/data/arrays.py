"""Arrays in files, and the vectors of an embedding."""

from __future__ import annotations

from pathlib import Path
from threading import RLock
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from polydiff.support.errors import UserError, one_line

_ONE_AT_A_TIME = RLock()


def load_array(file: Path | BinaryIO, mmap_mode: Literal["r"] | None = None) -> Any:
    """Return np.load of a file without pickles, for a program of several threads.

    numpy reads a header as a Python literal, and Python 3.11's parser shares a counter between threads: if garbage
    collection lets another thread parse in between, it raises SystemError ("AST constructor recursion depth mismatch").
    """
    with _ONE_AT_A_TIME:
        return np.load(file, mmap_mode=mmap_mode, allow_pickle=False)


def read_array(file: Path | BinaryIO, path: Path) -> NDArray[Any]:
    """Return the array of a .npy file, or of an open file; `path` is used in messages.

    Raises:
        UserError: The file is damaged or holds no array. numpy raises errors of many types for damaged files, such as
            tokenize.TokenError, zipfile.BadZipFile and MemoryError for a shape that a header invents.
    """
    try:
        array = load_array(file)
    except Exception as error:
        raise UserError(f"{path} cannot be read as an array (.npy): {one_line(error)}.") from error
    if not isinstance(array, np.ndarray):
        raise UserError(f"{path} holds several arrays (.npz); save the one that is meant as .npy.")
    return array


def checked_vectors(array: NDArray[Any], source: str, width: int | None = None) -> NDArray[Any]:
    """Return an embedding as (N, width); another shape, or what is not finite, is a `UserError`."""
    shaped = array.ndim in (1, 2) and array.size > 0 and width in (None, array.shape[-1])
    if not shaped or not np.issubdtype(array.dtype, np.number) or not np.isfinite(array).all():
        wide = "width" if width is None else width
        raise UserError(
            f"{source}: an embedding is finite numbers of shape (N, {wide}) or ({wide},), not {array.dtype} "
            f"{array.shape}."
        )
    return array.reshape(-1, array.shape[-1])
