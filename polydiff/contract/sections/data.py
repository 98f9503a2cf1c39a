"""Sections on data: where examples come from, and how captions are read."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from polydiff.contract.sections.base import FolderPath, Section, absolute


class DataConfig(Section):
    """Where examples come from.

    A domain that has an embedded data set and also reads files sets both names below: a path then selects the files.

    Attributes:
        embedded: Value of `name` for the embedded data set; "": none.
        files: Value of `name` for the user's files; "": none.
        selects: Whether the domain obeys `per_class`.
        incidental: Keys that change neither the statistics of examples nor their conditions in a way that matters to
            another run: their size, random changes of training examples, what only tasks read.
    """

    embedded: ClassVar[str] = ""
    files: ClassVar[str] = ""
    selects: ClassVar[bool] = False
    incidental: ClassVar[Collection[str]] = ()

    name: str = "data"
    """Data set: the domain's embedded one, or the kind of files to read."""
    path: Path | None = None
    """Folder or file of your own data; None: the embedded data set."""
    per_class: int | None = Field(None, ge=1, lt=2**63)
    """Number of training examples of each class that are used, or of all if there are no classes; null: all. Held-out
    examples stay the same."""
    subset: int = Field(0, ge=0, lt=2**63)
    """Which random choice of examples `per_class` uses. For one value, the choice of a smaller `per_class` is part of
    that of a larger one."""

    _absolute = field_validator("path")(absolute)

    @model_validator(mode="before")
    @classmethod
    def _path_means_files(cls, values: Any) -> Any:
        given = (
            isinstance(values, dict) and values.get("path") is not None and values.get("name") in (None, cls.embedded)
        )
        return {**values, "name": cls.files} if given and cls.files else values

    @model_validator(mode="after")
    def _choice_is_made(self) -> Self:
        if self.per_class is not None and not self.selects:
            raise ValueError("data.per_class is not used by this domain; leave it out")
        if self.subset and self.per_class is None:
            raise ValueError("data.subset chooses among examples only with data.per_class")
        return self

    @model_validator(mode="after")
    def _files_need_a_path(self) -> Self:
        if self.files and self.name == self.files and self.path is None:
            raise ValueError(f"data.name={self.files} needs data.path, the folder or file of your data")
        return self


class CaptionConfig(Section):
    """How captions become tokens."""

    tokens: Literal["words", "bytes", "bpe"] = "words"
    """words: the words of the training captions. bytes: bytes in UTF-8. bpe: frequent sequences of bytes. Bytes and bpe
    can write words that training lacks, and all scripts."""
    vocabulary: int = Field(4000, ge=2, le=10**6)
    """Largest number of different tokens; rarer words are read as unknown. Bytes have 256."""
    longest: int = Field(64, ge=1, le=4096)
    """Largest number of tokens of a caption; a longer one in the data is an error."""
    encoder: FolderPath | None = None
    """Folder of a pretrained text encoder of Hugging Face's transformers, which reads the captions in place of one that
    is trained with the network; `tokens` and `vocabulary` are then unused."""
