"""Import of the optional dependencies of audio, on first use."""

from __future__ import annotations

import importlib
from types import ModuleType

from polydiff.support.errors import UserError

INSTALL = 'pip install "polydiff[audio]"'


def torchaudio(part: str) -> ModuleType:
    """Return a module of torchaudio, such as "transforms".

    Each wheel of torchaudio fits one version of torch, but does not declare it. With another version the import raises
    an OSError or RuntimeError.

    Raises:
        UserError: torchaudio cannot be imported.
    """
    try:
        return importlib.import_module(f"torchaudio.{part}")
    except (ImportError, OSError, RuntimeError) as error:
        raise UserError(
            f"torchaudio cannot be imported ({str(error).splitlines()[0] if str(error) else type(error).__name__}). "
            f"Its version must match that of torch, which pip does not ensure. Install both together: {INSTALL}."
        ) from error


def lacks_torchaudio() -> str:
    """Return the reason why torchaudio cannot be imported; "" if it can."""
    try:
        torchaudio("transforms")
    except UserError as error:
        return str(error)
    return ""


def soundfile() -> ModuleType:
    """Return the module soundfile, which reads and writes sound files.

    Raises:
        UserError: soundfile cannot be imported.
    """
    try:
        return importlib.import_module("soundfile")
    except (ImportError, OSError, RuntimeError) as error:
        raise UserError(
            f"Sound files need the package soundfile, which cannot be imported ({error}). Install it: {INSTALL}."
        ) from error
