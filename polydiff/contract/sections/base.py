"""The base of all sections of a configuration, and the types of keys that several sections have."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt
from pydantic.fields import FieldInfo

from polydiff.hub.names import on_hub

Numbers = dict[str, StrictBool | StrictInt | StrictFloat]
"""Options by name. Types are kept: 16 stays a whole number, true is not a number, the text "16" is an error."""


OPTIONS_OF = {
    "schedule": "schedule_options",
    "loss.objective": "loss.objective_options",
    "loss.norm": "loss.norm_options",
    "loss.weighting": "loss.weighting_options",
    "loss.times": "loss.times_options",
    "sample.sampler": "sample.options",
    "sample.spacing": "sample.spacing_options",
    "sample.guidance_method": "sample.guidance_options",
}
"""Key of a name -> key of its options. An override of the name resets these options."""


def ascending(levels: tuple[float, float]) -> tuple[float, float]:
    """Return the least and the greatest level; ValueError if they are the wrong way round."""
    if levels[0] > levels[1]:
        raise ValueError(f"the least level, {levels[0]:g}, is above the greatest, {levels[1]:g}")
    return levels


Level = Annotated[float, Field(gt=0, le=1000)]
NoiseLevels = Annotated[tuple[Level, Level], AfterValidator(ascending)]
"""Least and greatest standard deviation of noise, in units of the states."""


class Section(BaseModel):
    """A part of a configuration: immutable, typed, without unknown keys.

    Attributes:
        before: Key that some saved configurations lack -> the value that keeps the behaviour from before the key
            existed, where it differs from the default.
    """

    before: ClassVar[Mapping[str, Any]] = {}

    @classmethod
    def idle(cls, values: Mapping[str, Any]) -> Collection[str]:
        """Return the keys of a saved section, such as {"text"}, that had no effect, and are an error in a new run.

        A saved configuration with such keys is read as if they had their defaults.

        Arguments:
            values: The saved value of each key; None if it is not saved.
        """
        return ()

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


def absolute(path: Path | None) -> Path | None:
    """Return an absolute path, since a run can be resumed from any directory; the name of a model on the hub stays."""
    return path if path is None or on_hub(path) else path.expanduser().absolute()


@dataclass(frozen=True)
class NamesFolder:
    """Marks the type of a key that names a folder of which an exported model holds a copy.

    A relative path that a file gives such a key is looked for in the folder of the file first
    (`polydiff.config.layers`).
    """


@dataclass(frozen=True)
class NamesRun(NamesFolder):
    """Marks the type of a key that names a run, so that `polydiff.run.parents` finds the key in any section."""


FolderPath = Annotated[Path, AfterValidator(absolute), NamesFolder()]
"""A folder that samples need, made absolute."""
RunPath = Annotated[Path, AfterValidator(absolute), NamesRun()]
"""A run's folder or that of one of its checkpoints, made absolute; or a model on the hub, hf:user/name."""


def is_marked(field: FieldInfo, mark: type) -> bool:
    """Return whether the type of a field is marked, or has a marked type inside as `RunPath | None` does."""
    return any(holds_mark(part, mark) for part in (*field.metadata, field.annotation))


def holds_mark(annotation: Any, mark: type) -> bool:
    """Return whether a type is a mark, or is made of such types or annotated with such marks."""
    inner = (*get_args(annotation), *getattr(annotation, "__metadata__", ()))
    return isinstance(annotation, mark) or any(holds_mark(part, mark) for part in inner)
