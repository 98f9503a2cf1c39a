"""The settings of points; this module loads no torch."""

from pydantic import Field

from polydiff import Config
from polydiff.backbones.config import MLPConfig
from polydiff.contract.sections import BackboneConfig, DataConfig, OptimConfig, SampleConfig, TrainConfig


class PointsData(DataConfig):
    """Points."""

    name: str = "spiral"
    """Data set."""
    arms: int = Field(3, ge=1)
    """Arms of the spiral."""
    n_train: int = Field(20_000, ge=1)
    """Training points."""
    n_test: int = Field(2000, ge=1)
    """Test points."""


class PointsConfig(Config):
    """Points in the plane."""

    domain: str = "points"
    data: PointsData = PointsData()
    backbone: BackboneConfig = MLPConfig(hidden=128, layers=3)
    optim: OptimConfig = OptimConfig(lr=2e-3, decay="cosine")
    train: TrainConfig = TrainConfig(steps=2000, batch_size=256, ema=0.99)
    sample: SampleConfig = SampleConfig(steps=20)
