"""The settings of molecules. Their own values are the preset "quick"; this module loads no torch."""

from __future__ import annotations

from typing import ClassVar, Literal, Self, get_args

from pydantic import Field, model_validator

from polydiff.backbones.config import GraphTransformerConfig
from polydiff.contract.sections import (
    BackboneConfig,
    Config,
    DataConfig,
    LossConfig,
    Numbers,
    OptimConfig,
    SampleConfig,
    TrainConfig,
)

Property = Literal[
    "logp", "tpsa", "qed", "weight", "heavy_atoms", "rings", "donors", "acceptors", "rotatable", "gyration",
    "asphericity", "npr1", "npr2", "composition",
]  # fmt: skip


class MoleculeData(DataConfig):
    """Molecules."""

    embedded: ClassVar[str] = "organic"
    files: ClassVar[str] = "file"

    name: Literal["organic", "nci", "qm9", "file"] = "organic"
    """organic: all molecules of C, N, O and F up to max_heavy heavy atoms. nci: 5,000 that come with RDKit. file: those
    of `path`, which implies it. qm9: those of a folder `path` with gdb9.sdf, which implies it."""
    max_heavy: int = Field(6, ge=2, le=7)
    """organic: most atoms other than hydrogen."""
    conformers: int = Field(3, ge=1, le=50)
    """Most geometries of a molecule; a .sdf or .xyz with positions keeps its own."""
    seconds: float = Field(30, gt=0)
    """Most seconds to make a molecule's geometries in, after which it is left out."""
    conditions: tuple[Property | str, ...] = ("logp",)
    """What a molecule can be asked to be; RDKit computes each for the data and measures it on samples.

    Columns of numbers in your own files can be named too; those are not measured on samples.

    composition: the number of atoms of each element, C=4 or formula=C4H10O.
    """
    elements: tuple[str, ...] = ()
    """Elements used, such as [H, C, N, O]; molecules with others are left out. None given: all that occur."""
    max_atoms: int = Field(60, ge=1)
    """Most atoms, with hydrogens; larger molecules are left out. organic has its own limit."""
    column: str = "smiles"
    """file: the column of a .csv or .tsv that holds SMILES, in capitals or not."""
    add_hydrogens: bool = False
    """file: whether hydrogens that a .sdf lacks are added where they belong; otherwise such records are left out."""
    test_share: float = Field(0.2, gt=0, lt=1)
    """Share of the molecules held out, with all their geometries."""
    scale: float | None = Field(None, gt=0)
    """Å that are 1 in a state; null: the standard deviation of a coordinate, as measured."""
    types: Literal["generated", "given"] = "generated"
    """generated: what elements atoms are is part of the state. given: it is drawn as in training, as sizes are."""
    type_scale: float = Field(2.0, gt=0)
    """Size of an atom's one-hot element beside positions of unit variance; small: elements are decided late."""
    number_scale: float = Field(0.0, ge=0)
    """Size of 1 in a further feature, the atomic number (EDM's integer charge: 0.1, no formal charge); 0: none."""
    centred: bool = True
    """Whether features have the mean 0 in the data."""
    layout: Literal["dense", "sparse"] = "sparse"
    """sparse: atoms stacked, no pair computed in vain. dense: batches padded to the largest molecule."""
    pad_to: int = Field(1, ge=1)
    """dense: padded to a multiple of this many atoms, so that batches have few shapes, as CUDA graphs need."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.name == "organic" and self.elements:
            raise ValueError("data.elements is for other data; organic molecules are of H, C, N, O and F")
        if self.name == "qm9" and self.path is None:
            raise ValueError("data.name=qm9 needs data.path, the folder that holds gdb9.sdf")
        known = get_args(Property)
        if self.name in ("organic", "nci") and (other := [name for name in self.conditions if name not in known]):
            raise ValueError(f"data.conditions names {other[0]!r}; {self.name} knows {', '.join(known)}")
        if len(set(self.conditions)) < len(self.conditions):
            raise ValueError(f"data.conditions={list(self.conditions)} names a property twice")
        return self


class MoleculeConfig(Config):
    """Molecules."""

    domain: str = "molecule"
    schedule_options: Numbers = Field({"sigma_min": 0.002, "sigma_max": 20.0})
    data: MoleculeData = MoleculeData(conditions=("logp", "gyration", "composition"), layout="dense")
    backbone: BackboneConfig = GraphTransformerConfig(
        hidden=64, layers=6, pair=16, vectors=8, radial=16, cutoff=5, aggregation="sum", divisor=4
    )
    loss: LossConfig = LossConfig(times="log_normal", times_options={"mean": -1.0, "std": 1.2})
    optim: OptimConfig = OptimConfig(name="muon", lr=4e-3, warmup=100, decay="cosine")
    train: TrainConfig = TrainConfig(
        steps=9000, batch_size=64, like_sizes=16, ema=0.999, checkpoint_every=2000, log_every=50, precision="float32"
    )
    sample: SampleConfig = SampleConfig(sampler="sa_solver", steps=40)
