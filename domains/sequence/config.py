"""Configuration of the domain sequence. Its defaults are the preset "quick". This module does not import torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from polydiff.backbones.config import DiTConfig
from polydiff.contract.sections.data import CaptionConfig, DataConfig
from polydiff.contract.sections.network import BackboneConfig
from polydiff.contract.sections.run import Config
from polydiff.contract.sections.training import OptimConfig, TrainConfig

LONGEST_SMILES = 18
"""Characters of the longest of the embedded SMILES."""
LONGEST = 1024
"""Longest text, in letters, for which `data.length` follows from the data."""


class SequenceData(DataConfig):
    """Texts."""

    embedded: ClassVar[str] = "sums"
    files: ClassVar[str] = "file"
    incidental: ClassVar[Collection[str]] = ("augment",)

    name: Literal["sums", "smiles", "file"] = "sums"
    """sums: all sums of two whole numbers, such as 47+85=132. smiles: 11,762 small organic molecules as SMILES. file:
    the texts of `path`, a .txt, .smi, .csv, .tsv, .jsonl or .fasta file, or a folder of them; setting `path` implies
    it."""
    largest: int = Field(99, ge=1, le=999)
    """sums: largest number that is added."""
    length: int | None = Field(None, ge=2, le=2**16)
    """Letters of an example, the letters that mark its end included; longer texts are left out. null: those of the
    longest text and one more."""
    tokens: Literal["characters", "bytes"] = "characters"
    """What a letter is: a character of Unicode, or a byte of the text in UTF-8."""
    column: str = "auto"
    """file: column of a table that holds the texts; auto: text, sequence, smiles or name, or the only one."""
    crops: bool = False
    """file: whether an example is a crop of `length` letters at a random place of one long text, instead of a line."""
    conditions: tuple[str, ...] = ()
    """Columns that become conditions, such as family,mass:number: of a table, heavy_atoms of smiles, label (the name of
    the file) in a folder. Text becomes classes, numbers real values; a type after the colon (class, number, text) sets
    it explicitly."""
    text: CaptionConfig = CaptionConfig()
    """How columns of the type text become tokens."""
    test_share: float = Field(0.2, gt=0, lt=1)
    """Share of the texts held out, unless the data state a test split; of one long text its last part."""
    judge: Literal["auto", "smiles", "none"] = "auto"
    """Who judges samples besides the counts of letters: smiles: RDKit reads them; auto: RDKit, if they are SMILES."""
    augment: float = Field(0.0, ge=0, le=1)
    """SMILES: share of the training texts that are written anew, with the atoms in a random order; a text that is too
    long for `length` or has letters that the data lack is used as it is."""
    compared: int = Field(10_000, ge=1, le=10**9)
    """SMILES: largest number of molecules of each test set that samples are compared with. Published values of
    MOSES are those of its whole test sets, which take some milliseconds a molecule, once."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        default = type(self).model_fields
        own = {"column": self.column, "crops": self.crops, "path": self.path}
        unused = [f"data.{key}" for key, value in own.items() if value != default[key].default]
        unused += ["data.conditions"] * (self.name == "sums" and bool(self.conditions))
        if self.name != "file" and unused:
            raise ValueError(f"data.name={self.name} does not use {', '.join(unused)}; leave it out")
        least = {"sums": self.longest_sum, "smiles": LONGEST_SMILES}.get(self.name, 2)
        if self.length is not None and self.length < least:
            raise ValueError(f"data.length={self.length} is less than the {least} letters of the longest text")
        if self.crops and self.length is None:
            raise ValueError("data.crops=true needs data.length, the number of letters of a crop")
        if self.augment and not self.judged_as_smiles:
            raise ValueError("data.augment writes SMILES anew; these texts are not SMILES (data.judge=smiles)")
        if self.crops and self.conditions:
            raise ValueError("data.crops=true cuts examples from one text, which has no data.conditions")
        return self

    @property
    def longest_sum(self) -> int:
        """Letters of the longest sum."""
        return len(f"{self.largest}+{self.largest}={2 * self.largest}")

    @property
    def judged_as_smiles(self) -> bool:
        """Whether RDKit judges samples."""
        listed = self.path is not None and self.path.suffix.lower() == ".smi"
        return self.judge == "smiles" or (self.judge == "auto" and (self.name == "smiles" or listed))


class SequenceConfig(Config):
    """Texts."""

    domain: str = "sequence"
    task: Literal["generate", "inpaint"] = "generate"
    """Condition of the network besides those of the data: none (generate), or the known letters of each text
    (inpaint)."""
    learn: Literal["denoise"] = "denoise"
    """What the run learns: denoise, to generate. Texts have no autoencoder and no contrastive pair."""
    data: SequenceData = SequenceData()
    backbone: BackboneConfig = DiTConfig(patch=1, width=96, depth=4, heads=4, coordinates=True)
    optim: OptimConfig = OptimConfig(lr=2e-3, warmup=100, decay="cosine")
    train: TrainConfig = TrainConfig(steps=4000, batch_size=128, ema=0.995, checkpoint_every=1000)

    def following(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what suits the data: of a crop, which begins anywhere, the places say nothing."""
        found: dict[str, Mapping[str, Any]] = {}
        if self.data.crops:
            found["data.crops"] = {"backbone.coordinates": False}
        if self.preset == "text8" and self.data.name == "file":
            found |= {"data.path": {"data.crops": True}, "preset": {"data.length": 256}}
            found["data.name"] = {"data.test_share": 0.05}  # of 100 million characters, the last 5 million
        return found
