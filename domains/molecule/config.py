"""Configuration of the domain of molecules. The defaults are the preset "quick". This module does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, get_args

from pydantic import Field, model_validator

from polydiff.backbones.config import GraphTransformerConfig
from polydiff.contract.sections.base import Numbers
from polydiff.contract.sections.data import CaptionConfig, DataConfig
from polydiff.contract.sections.network import BackboneConfig
from polydiff.contract.sections.parts import PartConfig
from polydiff.contract.sections.run import Config
from polydiff.contract.sections.sampling import SampleConfig
from polydiff.contract.sections.training import LossConfig, OptimConfig, TrainConfig

Property = Literal[
    "logp", "tpsa", "qed", "weight", "heavy_atoms", "rings", "donors", "acceptors", "rotatable", "gyration",
    "asphericity", "npr1", "npr2", "composition",
]  # fmt: skip

SPATIAL = ("gyration", "asphericity", "npr1", "npr2")
"""Properties that need positions."""
LATE: Mapping[str, Any] = {
    "process": "masked",
    "schedule": "logistic",
    "schedule_options": {"middle": 0.1, "power": 1.4},
    "sampler": "remask",
    "options": {"eta": 20},
}
"""Letters beside positions: most appear at the noise levels at which positions are decided, which are those that
training draws; and they are masked again, so that later ones correct earlier ones."""
POSITIONS, ATOMS, BONDS = "positions", "atoms", "bonds"
"""Names of the parts of molecules with bonds; the last is also the name of their preset."""
PARTS: Mapping[str, Mapping[str, Any]] = {
    POSITIONS: {"process": "gaussian"},
    ATOMS: {**LATE, "weight": 0.4},
    BONDS: {**LATE, "weight": 1.0},
}
"""Parts of molecules with bonds, in order, with their defaults."""
STEPS = 120
"""Steps of sampling: letters of one step are drawn independently, so in few steps they contradict each other."""
ALONE: Mapping[str, Mapping[str, Any]] = {ATOMS: {"process": "masked"}, BONDS: {"process": "masked"}}
"""Parts of graphs alone, in order, with their defaults."""
OPTIONS_OF_PART = {
    "process": ("schedule_options", "sampler", "options"),
    "schedule": ("schedule_options",),
    "sampler": ("options",),
}
"""Key of a part -> keys whose defaults hold for its default alone."""


class MoleculeData(DataConfig):
    """The data set of molecules and its encoding."""

    before: ClassVar[Mapping[str, Any]] = {"captions": "none"}
    embedded: ClassVar[str] = "organic"
    files: ClassVar[str] = "file"
    selects: ClassVar[bool] = True

    name: Literal["organic", "nci", "qm9", "file"] = "organic"
    """organic: all molecules of C, N, O, F and H with up to max_heavy heavy atoms. nci: 5,000 molecules that come with
    RDKit. file: the molecules of data.path. qm9: QM9, with data.path its folder of raw files. A data.path implies file,
    or qm9 if it contains gdb9.sdf."""
    max_heavy: int = Field(6, ge=2, le=7)
    """For organic: largest number of atoms other than hydrogen."""
    conformers: int = Field(3, ge=1, le=50)
    """Largest number of computed geometries of a molecule. A .sdf or .xyz record with positions keeps its own."""
    seconds: float = Field(30, gt=0, le=86_400)
    """Time limit in seconds to compute the geometries of a molecule; molecules that exceed it are left out."""
    conditions: tuple[Property | str, ...] = ("logp",)
    """Conditions of the network. RDKit computes them for the data and measures them on samples.

    Columns of your own files are allowed too, but are not measured on samples: numbers as numbers, text as classes. A
    type after the colon (class, number, text) sets it explicitly, as in title:text.

    composition: the number of atoms of each element, requested as C=4 or formula=C4H10O.
    """
    captions: str = "auto"
    """For file: column of the captions, which become the condition text; auto: text or caption; none."""
    text: CaptionConfig = CaptionConfig()
    elements: tuple[str, ...] = ()
    """Elements to use, such as [H, C, N, O]; molecules with other elements are left out. Empty: all that occur."""
    max_atoms: int = Field(60, ge=1, le=10_000)
    """Largest number of atoms including hydrogens; larger molecules are left out. Not used for organic."""
    column: str = "smiles"
    """For file: name of the column of a .csv or .tsv that contains SMILES; case is ignored."""
    add_hydrogens: bool = False
    """For file: whether to add the missing hydrogens of .sdf records with positions. If not, they are left out."""
    test_share: float = Field(0.2, gt=0, lt=1)
    """Share of the molecules that are held out, with all their geometries."""
    scale: float | None = Field(None, ge=1e-3, le=1000)
    """Length in Å of 1 unit of a state; null: the standard deviation of a coordinate in the training data."""
    types: Literal["generated", "given"] = "generated"
    """generated: elements are part of the state. given: they are drawn from the training data, as sizes are, or follow
    from a requested formula. With bonds, charges then follow from elements and valences."""
    type_scale: float = Field(2.0, gt=0, le=1000)
    """Scale of the one-hot element of an atom, relative to positions of unit variance. Small: sampling decides
    elements late."""
    number_scale: float = Field(0.0, ge=0, le=1000)
    """Scale of the atomic number as a further feature (EDM's integer charge: 0.1); 0: no such feature."""
    centred: bool = True
    """Whether to subtract the mean over the training data from features."""
    bonds: bool = False
    """Whether bonds are part of the state, generated with atoms and positions (process=joint), not perceived."""
    positions: bool = True
    """Whether molecules have positions. false: graphs alone, of heavy atoms and their bonds; hydrogens are implicit."""
    compared: int = Field(10_000, ge=1, le=10**9)
    """Graphs alone: largest number of molecules of each test set that samples are compared with. Published values of
    MOSES are those of its whole test sets, which take some milliseconds a molecule, once."""
    layout: Literal["dense", "sparse"] = "sparse"
    """sparse: the atoms of a batch are stacked, and padding costs nothing. dense: batches are padded to the largest
    molecule."""
    pad_to: int = Field(1, ge=1, le=10_000)
    """For dense: pad to a multiple of this many atoms, so that batches have few shapes, as CUDA graphs need."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.name == "organic" and self.elements:
            raise ValueError("data.elements does not apply to data.name=organic, which consists of H, C, N, O and F")
        if self.name == "qm9" and self.path is None:
            raise ValueError("data.name=qm9 needs data.path, the folder that contains gdb9.sdf")
        if self.name != "file" and self.captions not in ("auto", "none"):
            raise ValueError(f"data.name={self.name} has no captions; leave out data.captions")
        known = get_args(Property)
        if self.name in ("organic", "nci") and (other := [name for name in self.conditions if name not in known]):
            raise ValueError(
                f"data.conditions contains {other[0]!r}; data.name={self.name} supports {', '.join(known)}"
            )
        self.check_bonds()
        names = [word.partition(":")[0] for word in self.conditions]
        if len(set(names)) < len(names):
            raise ValueError(f"data.conditions={list(self.conditions)} names a condition twice")
        return self

    @property
    def bonded(self) -> bool:
        """Whether bonds are part of the state."""
        return self.bonds or not self.positions

    def check_bonds(self) -> None:
        """Raise ValueError if another key contradicts bonds."""
        if not self.bonded:
            return
        key = "data.bonds=true" if self.bonds else "data.positions=false"
        for name, usual in {"layout": "dense", "number_scale": 0.0}.items():
            if getattr(self, name) != usual:
                raise ValueError(f"{key} needs data.{name}={usual}, not {getattr(self, name)}")
        if self.types == "given" and not self.positions:
            raise ValueError("data.positions=false needs data.types=generated: atoms of graphs alone are generated")


class MoleculeConfig(Config):
    """Configuration of a run on molecules."""

    domain: str = "molecule"
    task: Literal["generate", "inpaint"] = "generate"
    """Condition of the network besides those of the data: none (generate), or a known part of each molecule, such as a
    connected fragment (inpaint)."""
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

    @model_validator(mode="before")
    @classmethod
    def _complete_parts(cls, values: Any) -> Any:
        """Complete the parts of molecules with bonds key by key, in their order."""
        data = values.get("data") if isinstance(values, Mapping) else None
        if data is None:
            return values
        bonds, positions, types = (
            (data.get(name, usual) if isinstance(data, Mapping) else getattr(data, name))
            for name, usual in (("bonds", False), ("positions", True), ("types", "generated"))
        )
        if not bonds and positions:
            return values
        own, asked, parts = PARTS if positions else ALONE, values.get("parts") or {}, dict[str, Any]()
        if types == "given":
            own = {name: part for name, part in own.items() if name != ATOMS}
            if ATOMS in asked:
                raise ValueError(
                    f"parts.{ATOMS}: with data.types=given, atoms are no part of the state. Set data.types=generated"
                )
        for name, part in {**own, **asked}.items():
            parts[name] = part if isinstance(part, PartConfig) else completed(own.get(name, {}), part)
        return {**values, "parts": parts}

    @model_validator(mode="after")
    def _fits_preset(self) -> Self:
        if self.preset == BONDS and not self.data.bonded:
            raise ValueError(f"preset={BONDS} needs data.bonds=true; without bonds, take the preset quick")
        return self

    @model_validator(mode="after")
    def _padded(self) -> Self:
        if self.task == "inpaint" and self.data.layout != "dense":
            raise ValueError(f"task=inpaint needs data.layout=dense, not {self.data.layout}")
        return self

    def following(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the process, the width of pairs and the steps of sampling that molecules with bonds need."""
        assert isinstance(self.data, MoleculeData)
        if not self.data.bonded:
            return {}
        key = "data.bonds" if self.data.bonds else "data.positions"
        network = {"backbone.pair": 32} if isinstance(self.backbone, GraphTransformerConfig) else {}
        plain = tuple(name for name in self.data.conditions if name not in SPATIAL)
        own: dict[str, Any] = {"sample.steps": STEPS} if self.data.positions else {"data.conditions": plain}
        return {key: {"process": "joint", **network, **own}}


def completed(usual: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a part with the defaults of those that are missing, each option a key of its own.

    Defaults of the options of another process, schedule or sampler are left out.
    """
    other = {key for key, value in part.items() if key in OPTIONS_OF_PART and value != usual.get(key)}
    dropped = {option for key in other for option in OPTIONS_OF_PART[key]}
    kept = {key: value for key, value in usual.items() if key not in dropped}
    options = {key: {**kept.get(key, {}), **value} for key, value in part.items() if isinstance(value, Mapping)}
    return {**kept, **part, **options}
