"""A third party's domain in a few lines: points on a ring. This part is its card and its configuration.

`data.fault` breaks one promise, so that tests can see it caught.
"""

from __future__ import annotations

from pathlib import Path

from polydiff.backbones.config import MLPConfig
from polydiff.contract.sections.data import DataConfig
from polydiff.contract.sections.run import Config
from polydiff.contract.sections.sampling import SampleConfig
from polydiff.contract.sections.training import LossConfig, TrainConfig
from polydiff.contract.spec import DomainSpec


class RingData(DataConfig):
    """Points on a ring."""

    name: str = "ring"
    radius: float = 1.4
    """Radius of the ring."""
    sizes: tuple[int, ...] = (64, 32)
    """Examples of each split."""
    closed: bool = True
    """Whether the ring is whole; or its upper half."""
    folder: Path | None = None
    fault: str = ""
    """Which promise to break."""


class RingConfig(Config):
    domain: str = "ring"
    data: RingData = RingData()
    backbone: MLPConfig = MLPConfig(hidden=16, layers=1)
    loss: LossConfig = LossConfig(times="log_normal", times_options={"mean": -1.2, "std": 1.2})
    train: TrainConfig = TrainConfig(steps=6, batch_size=8, log_every=1)
    sample: SampleConfig = SampleConfig(steps=4)


SPEC = DomainSpec(
    name="ring",
    summary="Points on a ring.",
    config="ring:RingConfig",
    factory="ring_domain:Ring",
    presets={"quick": {}, "wide": {"backbone.hidden": 32, "train.steps": 9, "loss.times_options": {"mean": 0.5}}},
)
