"""The settings of torsions; this module loads no torch."""

from pydantic import Field

from polydiff import Config
from polydiff.backbones.config import MLPConfig
from polydiff.contract.sections import BackboneConfig, DataConfig, OptimConfig, TrainConfig


class TorsionsData(DataConfig):
    """Torsions."""

    name: str = "boltzmann"
    """Data set."""
    smiles: str = "CCCCCCC"
    """Molecule; its bonds between atoms with further neighbours turn, those of methyl groups do not."""
    kelvin: float = Field(300.0, gt=0)
    """Temperature of the Boltzmann law."""
    n_train: int = Field(8192, ge=1)
    """Training conformers."""
    n_test: int = Field(2048, ge=1)
    """Test conformers."""


class TorsionsConfig(Config):
    """Torsions of a flexible molecule."""

    domain: str = "torsions"
    process: str = "circle"
    data: TorsionsData = TorsionsData()
    backbone: BackboneConfig = MLPConfig(hidden=128, layers=3)
    optim: OptimConfig = OptimConfig(lr=2e-3, decay="cosine")
    train: TrainConfig = TrainConfig(steps=5000, batch_size=256, ema=0.998)
