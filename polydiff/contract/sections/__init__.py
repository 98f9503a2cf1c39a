"""Sections of a run's configuration, as pydantic models that reject unknown keys.

Each domain derives its own `Config`. This package and the domains' configurations import no torch, so that help and
error messages appear at once. The docstring of a key is its text in `polydiff train --help`.

Authors of domains and backbones import sections from here; each is defined in a module of its subject.
"""

from polydiff.contract.sections.base import OPTIONS_OF, NamesRun, NoiseLevels, Numbers, RunPath, Section, absolute
from polydiff.contract.sections.data import CaptionConfig, DataConfig
from polydiff.contract.sections.network import BackboneConfig, TextConfig
from polydiff.contract.sections.parts import CouplingConfig, PartConfig
from polydiff.contract.sections.run import Config
from polydiff.contract.sections.sampling import SampleConfig
from polydiff.contract.sections.training import EncodeConfig, LaunchConfig, LossConfig, OptimConfig, TrainConfig

__all__ = [
    "OPTIONS_OF",
    "BackboneConfig",
    "CaptionConfig",
    "Config",
    "CouplingConfig",
    "DataConfig",
    "EncodeConfig",
    "LaunchConfig",
    "LossConfig",
    "NamesRun",
    "NoiseLevels",
    "Numbers",
    "OptimConfig",
    "PartConfig",
    "RunPath",
    "SampleConfig",
    "Section",
    "TextConfig",
    "TrainConfig",
    "absolute",
]
