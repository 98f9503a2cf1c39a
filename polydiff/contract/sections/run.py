"""The configuration of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from polydiff.contract.sections.base import Numbers, RunPath, Section
from polydiff.contract.sections.data import DataConfig
from polydiff.contract.sections.network import BackboneConfig
from polydiff.contract.sections.parts import CouplingConfig, PartConfig
from polydiff.contract.sections.sampling import SampleConfig
from polydiff.contract.sections.training import EncodeConfig, LaunchConfig, LossConfig, OptimConfig, TrainConfig


class Config(Section):
    """The configuration of a run. Each domain derives its own, with its data, backbone and defaults."""

    domain: str
    """Name of the domain."""
    preset: str = "quick"
    """Preset that the defaults come from."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Random seed of the run."""
    device: str = "auto"
    """Device: cpu, cuda, cuda:1, ...; auto: a GPU if there is one."""
    learn: str = "denoise"
    """What the run learns: denoise, to generate; encode, to map examples to few numbers and back; match, to compare
    examples with texts."""
    codec: RunPath | None = None
    """Run in whose codes the diffusion works: with learn=encode, an autoencoder; with learn=match, a pair, whose
    embeddings of examples are then what samples are. null: in the states of the domain."""
    tell: dict[str, RunPath] = {}
    """Name of a condition -> run with learn=match: each example is generated from its embedding by this run, as in
    tell.embedding=runs/pair."""
    tell_noise: float = Field(0.1, ge=0, le=10)
    """Greatest standard deviation of the noise that embeddings of `tell` get in training, as a share of theirs."""
    process: str = "gaussian"
    """Kind of diffusion: gaussian; for letters masked, uniform or marginal; joint for states of several parts."""
    parts: dict[str, PartConfig] = {}
    """process=joint: name of a part of a state -> its kernel and options."""
    coupling: CouplingConfig = CouplingConfig()
    schedule: str = "edm"
    """Noise schedule: edm, flow, cosine, vp, linear, learned or another of docs/schedules.md."""
    schedule_options: Numbers = {}
    """Options of the schedule, such as {sigma_max: 80, shift: 2}."""
    target: str = "edm"
    """What the network predicts: eps, x0, v, flow, edm or score."""
    data: DataConfig
    backbone: BackboneConfig
    loss: LossConfig = LossConfig()
    encode: EncodeConfig = EncodeConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()
    sample: SampleConfig = SampleConfig()
    launch: LaunchConfig = LaunchConfig()
    track: tuple[str, ...] = ()
    """Trackers that also get the numbers and samples of training: tensorboard, wandb, mlflow, trackio; none: none."""
    track_options: dict[str, dict[str, Any]] = {}
    """Options of trackers, as in track_options.wandb.project=sounds (docs/tracking.md)."""

    def following(self) -> Mapping[str, Mapping[str, Any]]:
        """Return defaults that follow from a key, such as the network from the size of images.

        They replace defaults and presets of a new run, never what the user set.

        Returns:
            Key -> the dotted keys that follow from it and their values; a configuration that has them returns the same.
        """
        return {}

    def usual_training(self, measured: bool) -> dict[str, dict[str, Any]]:
        """Return defaults of the domain in place of a preset's Muon, where that was not measured (`following`).

        The learning rate and the steps follow from the optimizer, so whoever chooses another than Muon gets those of
        the default one.

        Arguments:
            measured: Whether Muon was measured for runs like this one.
        """
        fields = type(self).model_fields
        optim, train = (fields[name].get_default(call_default_factory=True) for name in ("optim", "train"))
        found: dict[str, dict[str, Any]] = {}
        if not measured:
            found["preset"] = {"optim.name": optim.name}
        if not measured or self.optim.name != "muon":
            found["optim.name"] = {"optim.lr": optim.lr, "train.steps": train.steps}
        return found
