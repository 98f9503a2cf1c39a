"""Kernels in C++, compiled on first use: an extra for CPUs whose absence changes speed and nothing else.

A source lies beside this module and includes nothing of torch, so that any C++ compiler builds it in a second; the
library is kept in the cache folder under a hash of the source, the compiler and the processor.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
import warnings
from functools import cache
from pathlib import Path

from torch import Tensor

from polydiff.environment import processor
from polydiff.paths import cache_dir

FLAGS = ("-O3", "-march=native", "-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-std=c++17", "-shared", "-fPIC")
PATIENCE = 60.0
"""Seconds that a compiler may take."""
SWITCH = "POLYDIFF_KERNELS"
"""Environment variable that is 0 where no kernel may be used."""


@cache
def library(name: str) -> ctypes.CDLL | None:
    """Return the compiled source `name`.cpp, None where there is no compiler, where it fails or where it is not wanted.

    A compiler that fails gets a warning, for it is there and should work.
    """
    compiler = shutil.which(os.environ.get("CXX") or "c++") or shutil.which("g++") or shutil.which("clang++")
    if os.environ.get(SWITCH) == "0" or compiler is None:
        return None
    try:
        return ctypes.CDLL(str(built(Path(__file__).with_name(f"{name}.cpp"), compiler)))
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        warnings.warn(
            f"{compiler} could not build the kernel {name}, so a slower way is taken ({SWITCH}=0 says so without this "
            f"warning): {said.strip().splitlines()[0] if said.strip() else error!r}",
            stacklevel=2,
        )
        return None


def built(source: Path, compiler: str) -> Path:
    """Return the library of a source, built unless it is there, whole or not at all."""
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, timeout=PATIENCE, check=True)  # noqa: S603
    identity = "\n".join([source.read_text(encoding="utf-8"), *FLAGS, version.stdout, processor()])
    name = f"{source.stem}-{hashlib.blake2b(identity.encode(), digest_size=8).hexdigest()}.so"
    kept = cache_dir() / "kernels" / name
    if kept.exists():
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        draft = Path(folder) / name
        subprocess.run(  # noqa: S603 - a compiler, our own source
            [compiler, *FLAGS, str(source), "-o", str(draft)],
            capture_output=True, text=True, timeout=PATIENCE, check=True,
        )  # fmt: skip
        draft.replace(kept)
    return kept


def pointer(tensor: Tensor) -> ctypes.c_void_p:
    """Return where a tensor's numbers begin."""
    return ctypes.c_void_p(tensor.data_ptr())
