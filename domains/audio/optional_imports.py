"""Modules that audio needs beyond polydiff's own, imported on use."""

from __future__ import annotations

import importlib
from types import ModuleType

from polydiff.support.errors import UserError

INSTALL = 'pip install "polydiff[audio]"'


def torchaudio(part: str) -> ModuleType:
    """Return a module of torchaudio, such as "transforms".

    Its wheels fit one version of torch and do not say so: with another, the import ends in an OSError or RuntimeError.
    """
    try:
        return importlib.import_module(f"torchaudio.{part}")
    except (ImportError, OSError, RuntimeError) as error:
        raise UserError(
            f"torchaudio cannot be imported ({str(error).splitlines()[0] if str(error) else type(error).__name__}). "
            f"Its version must match that of torch, which pip does not ensure. Install both together: {INSTALL}."
        ) from error


def lacks_torchaudio() -> str:
    """Return why torchaudio cannot be used, in one sentence; "" where it can."""
    try:
        torchaudio("transforms")
    except UserError as error:
        return str(error)
    return ""


def soundfile() -> ModuleType:
    """Return soundfile, which reads and writes sound files."""
    try:
        return importlib.import_module("soundfile")
    except (ImportError, OSError, RuntimeError) as error:
        raise UserError(
            f"Sound files need the package soundfile, which cannot be imported ({error}). Install it: {INSTALL}."
        ) from error
