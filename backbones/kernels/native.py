"""Optional C++ kernels for CPUs, compiled on first use. Without them, results are the same and layers are slower.

A source lies beside this module and includes no header of torch, so any C++ compiler builds it in a second. The
compiled library is cached under a hash of the source, the compiler and the processor's instructions, because several
machines may share a cache folder.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from polydiff.contract.discover import Finding
from polydiff.support.disk import cache_dir
from polydiff.support.files import write_atomic

FLAGS = ("-O3", "-march=native", "-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-std=c++17", "-shared", "-fPIC")
PATIENCE = 60.0
"""Largest time that a compiler may take, in seconds."""
SWITCH = "POLYDIFF_KERNELS"
"""Environment variable; 0 disables the kernels."""


def library(name: str) -> ctypes.CDLL | None:
    """Return the compiled source `name`.cpp, or None if it is disabled at the moment or cannot be compiled."""
    return None if disabled() else compiled(name)


def disabled() -> bool:
    """Return whether the environment disables the kernels; it may change while a process runs."""
    return os.environ.get(SWITCH) == "0"


@cache
def compiled(name: str) -> ctypes.CDLL | None:
    """Return the compiled source `name`.cpp, or None if it cannot be compiled, which is remembered.

    A compiler that fails causes a warning; a missing compiler does not.
    """
    found = look(name)
    if isinstance(found, ctypes.CDLL):
        return found
    if found.failed:
        warnings.warn(
            f"The kernel {name} is not in use, so layers are slower ({SWITCH}=0 hides this warning): {found.why}",
            stacklevel=2,
        )
    return None


class Absence(NamedTuple):
    """Reason why a kernel is not available.

    Attributes:
        why: The reason, in one line.
        failed: Whether a compiler was found and did not work.
    """

    why: str
    failed: bool


def look(name: str) -> ctypes.CDLL | Absence:
    """Return the compiled source `name`.cpp, compiled now if it is not cached, or why it is not available."""
    if disabled():
        return Absence(f"{SWITCH}=0", failed=False)
    compiler = shutil.which(os.environ.get("CXX") or "c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        return Absence("no C++ compiler (c++, g++, clang++ or $CXX) is on the PATH", failed=False)
    try:
        return ctypes.CDLL(str(built(Path(__file__).with_name(f"{name}.cpp"), compiler)))
    except subprocess.TimeoutExpired:
        return Absence(f"{compiler} did not end within {PATIENCE:g} s", failed=True)
    except subprocess.CalledProcessError as error:
        return Absence(f"{compiler}: {complaint(error)}", failed=True)
    except OSError as error:
        return Absence(" ".join(str(error).split()), failed=True)


def examine() -> Iterator[Finding]:
    """Yield whether the normalisation of U-Nets has its kernel on the CPU, and why not, for `polydiff doctor`."""
    found = look("norm")
    slower = f"not in use, so U-Nets are slower on the CPU: {found.why}" if isinstance(found, Absence) else ""
    yield Finding("C++ kernel", "note" if slower else "ok", slower or "normalisation, in use on the CPU")


def complaint(error: subprocess.CalledProcessError) -> str:
    """Return the line of a compiler's output that explains the error: the first with "error" in it, or the first."""
    lines: list[str] = [line.strip() for line in error.stderr.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line.lower()), (lines or [f"exit code {error.returncode}"])[0])


def built(source: Path, compiler: str) -> Path:
    """Return the cached library of a source; compile it if it is missing. An interrupted compilation leaves no file."""
    macros = run([compiler, *FLAGS, "-dM", "-E", "-x", "c++", os.devnull])  # the version, and what -march=native allows
    identity = "\n".join([source.read_text(encoding="utf-8"), *FLAGS, macros])
    name = f"{source.stem}-{hashlib.blake2b(identity.encode(), digest_size=8).hexdigest()}.so"
    kept = cache_dir() / "kernels" / name
    if kept.exists():
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / name
        run([compiler, *FLAGS, str(source), "-o", str(library)])
        write_atomic(kept, library.read_bytes())
    return kept


def run(words: Sequence[str]) -> str:
    """Run a compiler and return what it prints."""
    done = subprocess.run(  # noqa: S603 - a compiler, our own source
        words, capture_output=True, text=True, errors="replace", timeout=PATIENCE, check=True
    )
    return done.stdout


def pointer(tensor: Tensor) -> ctypes.c_void_p:
    """Return the address of a tensor's first number."""
    return ctypes.c_void_p(tensor.data_ptr())
