"""Samplers that were fitted to a network (`polydiff calibrate`), in the run's folder.

calibration.json   {"format": 1, "fitted": [{"weights_digest": "...", "sampling": {...}, ...}, ...]}

An entry is for the weights of one digest and for one number of steps and one guidance, those of its "sampling".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from polydiff.hub.files import CALIBRATION
from polydiff.support.errors import UserError, amount
from polydiff.support.files import quoted, read_json, write_atomic

FORMAT = 1
"""Version of the file."""
MOST = 200
"""Largest number of entries; the oldest are dropped."""
GUIDANCE = ("guidance_method", "guidance_options", "guidance_interval", "guide", "negative")
"""Keys of the section `sample` that only matter with guidance."""


def purpose(sampling: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a section `sample`, as JSON, for which a sampler is fitted: its steps and its guidance."""
    guided = GUIDANCE if sampling["guidance"] != 1 else ()
    return {key: sampling[key] for key in ("steps", "guidance", *guided)}


@dataclass(frozen=True)
class Fitted:
    """A sampler that was fitted to a network.

    Arguments:
        sampling: Keys of the section `sample` that use it: `model.sample(16, **fitted.sampling)`.
        weights_digest: Digest of the network's weights.
        step: Number of optimizer steps of its training.
        weights: Which weights it has, such as "ema".
        samples: Number of samples on which the errors were measured; the fit has not seen them.
        error: Median relative distance of these from the solution of the differential equation.
        error_of_default: The same with the default sampler.
        default: Whether the default sampler was kept, since nothing better was found.
    """

    sampling: Mapping[str, Any]
    weights_digest: str
    step: int
    weights: str
    samples: int
    error: float
    error_of_default: float
    default: bool

    def save(self, run: Path | str) -> Path:
        """Write it to the folder of a run, in place of an earlier one for the same use, and return the file's path."""
        path = Path(run) / CALIBRATION
        others = [one for one in read_fitted(Path(run)) if not one.replaced_by(self)]
        entries = [asdict(one) for one in [*others, self][-MOST:]]
        write_atomic(path, json.dumps({"format": FORMAT, "fitted": entries}, indent=1) + "\n")
        return path

    def replaced_by(self, other: Fitted) -> bool:
        """Return whether another one is for the same weights, steps and guidance."""
        same = self.weights_digest == other.weights_digest
        return same and purpose(self.sampling) == purpose(other.sampling)

    def __str__(self) -> str:
        guidance = self.sampling["guidance"]
        return amount(self.sampling["steps"], "step") + ("" if guidance == 1 else f" at guidance {guidance:g}")


def read_fitted(run: Path) -> Sequence[Fitted]:
    """Return the samplers that were fitted to the networks of a run; none if there is no file.

    Raises:
        UserError: The file is damaged, or of a later version.
    """
    path = run / CALIBRATION
    found = read_json(path)
    if not found:
        return ()
    try:
        if found["format"] != FORMAT:
            raise UserError(f"{path} has the format {found['format']!r}, not {FORMAT}. Update polydiff, or delete it.")
        return tuple(checked(entry) for entry in found["fitted"][-MOST:])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is damaged ({error}). Delete it, and fit again: polydiff calibrate {quoted(run)} --steps 8"
        ) from error


def checked(entry: Mapping[str, Any]) -> Fitted:
    """Return an entry of the file; raise ValueError or TypeError if its values are of other types."""
    fitted = Fitted(**{field.name: entry[field.name] for field in fields(Fitted)})
    numbers = (fitted.error, fitted.error_of_default, fitted.sampling["guidance"])
    whole = (fitted.step, fitted.samples, fitted.sampling["steps"])
    texts = (fitted.weights_digest, fitted.weights, fitted.sampling["sampler"])
    for kind, values in ((int | float, numbers), (int, whole), (str, texts), (bool, (fitted.default,))):
        for value in values:
            if not isinstance(value, kind):
                raise TypeError(f"{value!r} has the wrong type")
    purpose(fitted.sampling)
    return fitted


def copy_fitted(run: Path, place: Path) -> None:
    """Copy the file from a run to an exported model, without entries for a guide, whose path is the author's."""
    for one in read_fitted(run):
        if not one.sampling.get("guide"):
            one.save(place)
