"""A user's own feature extractor, on which sets of examples are compared by a Frechet distance.

It is named as FILE.pt, a TorchScript file, or as PLACE:FUNCTION, a function of a module or of a .py file; either takes
examples (B, ...) as the domain decodes them and returns features (B, D). TorchScript is read by a reader of its own and
never by Python's pickle, which torch.load and torch.export.load may use. Yet it is a program, as a function is: name
none that you would not run.
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
FORMS = "Name a TorchScript file, such as net.pt, or a function, such as features.py:embed or package.module:embed."


@dataclass(frozen=True)
class Extractor:
    """Examples -> features.

    Arguments:
        name: As it was named.
        digest: Of the file that it was read from; weights that a function reads itself are not in it.
        function: Examples (B, ...) -> features (B, D).
    """

    name: str
    digest: str
    function: Callable[[Tensor], Any]

    @torch.no_grad()
    def __call__(self, examples: Sequence[Any]) -> Tensor:
        """Return the features of examples, shape (N, D)."""
        if not all(isinstance(x, Tensor) and x.shape == examples[0].shape for x in examples):
            raise UserError(f"Features by {self.name} need examples that are tensors of one shape.")
        parts = [torch.stack(list(examples[i : i + BATCH])) for i in range(0, len(examples), BATCH)]
        return torch.cat([self.checked(part) for part in parts])

    def checked(self, x: Tensor) -> Tensor:
        """Return the features of a batch, if they are such."""
        try:
            found = self.function(x)
        except Exception as error:
            raise UserError(f"{self.name} fails on examples of shape {tuple(x.shape)}: {last_line(error)}") from error
        if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(x):
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise UserError(f"{self.name} should return features of shape ({len(x)}, D); it returns {shape}.")
        return found.cpu().double()


def open_extractor(name: str) -> Extractor:
    """Return the extractor that a user's words name."""
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
    """Return the module of a TorchScript file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # its successor unpickles what a file says it should
            module: Callable[[Tensor], Any] = torch.jit.load(path, map_location="cpu").eval()
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"{path} is no TorchScript file, as torch.jit.save writes it; pickles, which torch.save writes, are never "
            f"loaded. A function can read any weights. {FORMS}"
        ) from error
    return module


def load_module(place: str) -> Any:
    """Return a module by its name or by the path of its file."""
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
    """Return an error's kind and the end of its text, where libraries say what was wrong."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[-1].strip()}" if lines else type(error).__name__


def digest(path: Path) -> str:
    """Return 16 digits of a file's SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
