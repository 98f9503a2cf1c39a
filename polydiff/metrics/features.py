"""Feature extractors of the user, for the Frechet distance between sets of examples.

An extractor is FILE.pt, a TorchScript file, or MODULE:FUNCTION, a function of a module or of a .py file. It maps
examples (B, ...), as the domain decodes them, to features (B, D). TorchScript has a reader of its own, which does not
use Python's pickle; torch.load and torch.export.load may use it. A TorchScript file is still a program, as a function
is: use only those that you trust.

Symbols: B number of examples in a batch, N number of examples, D number of features.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polydiff.support.errors import UserError

BATCH = 64
FORMS = "Give a TorchScript file, such as net.pt, or a function, such as features.py:embed or package.module:embed."


@dataclass(frozen=True)
class Extractor:
    """A function from examples to features, with its name and the digest of its file.

    Arguments:
        name: The text by which the user chose it.
        digest: Digest of the file that it was read from, without weights that a function reads itself.
        function: Examples (B, ...) -> features (B, D).
    """

    name: str
    digest: str
    function: Callable[[Tensor], Any]

    @torch.no_grad()
    def __call__(self, examples: Sequence[Any]) -> Tensor:
        """Return the features of N examples of one shape: shape (N, D), float64, on the CPU.

        Raises:
            UserError: The examples differ in shape, the function fails, or it returns anything but features (B, D).
        """
        if not all(isinstance(x, Tensor) and x.shape == examples[0].shape for x in examples):
            raise UserError(f"Features by {self.name} need examples that are tensors of one shape.")
        parts = [torch.stack(list(examples[i : i + BATCH])) for i in range(0, len(examples), BATCH)]
        return torch.cat([self.features(part) for part in parts])

    def features(self, x: Tensor) -> Tensor:
        """Return the features (B, D) of a batch (B, ...); raise UserError if the function returns anything else."""
        try:
            found = self.function(x)
        except Exception as error:
            raise UserError(f"{self.name} fails on examples of shape {tuple(x.shape)}: {last_line(error)}") from error
        if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(x):
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise UserError(f"{self.name} should return features of shape ({len(x)}, D); it returns {shape}.")
        return found.cpu().double()


def open_extractor(name: str) -> Extractor:
    """Return the extractor for the user's text, see `FORMS`; raise UserError if no such file or function exists."""
    place, colon, attribute = name.rpartition(":")
    path = Path(name)
    if path.is_file():
        return Extractor(name, digest(path), torchscript(path))
    if not colon or not attribute.isidentifier():
        raise UserError(f"There is no file {name}. {FORMS}")
    module = load_module(place)
    function = getattr(module, attribute, None)
    if not callable(function):
        raise UserError(f"{place} has no function {attribute}. {FORMS}")
    source = inspect.getsourcefile(module)
    return Extractor(name, digest(Path(source)) if source else "", function)


def torchscript(path: Path) -> Callable[[Tensor], Any]:
    """Return the module in a TorchScript file: examples (B, ...) -> features (B, D)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the suggested successor, torch.export, may unpickle
            module: Callable[[Tensor], Any] = torch.jit.load(path, map_location="cpu").eval()
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"{path} is no TorchScript file from torch.jit.save. Pickles from torch.save are never loaded; use a "
            f"function to read such weights. {FORMS}"
        ) from error
    return module


def load_module(place: str) -> Any:
    """Import a module by its name or by the path of its file, and return it."""
    try:
        if not place.endswith(".py"):
            return importlib.import_module(place)
        spec = importlib.util.spec_from_file_location(Path(place).stem, place)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"{place} cannot be imported: {last_line(error)}. {FORMS}") from error
    return module


def last_line(error: Exception) -> str:
    """Return the type and the last line of an error, since libraries state the cause at the end."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[-1].strip()}" if lines else type(error).__name__


def digest(path: Path) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
