"""Configurations: their sections, and how presets, files, Python and the command line are merged into one."""

from polydiff.contract.sections.base import Numbers as Numbers
from polydiff.contract.sections.base import RunPath as RunPath
from polydiff.contract.sections.base import Section as Section
from polydiff.contract.sections.data import DataConfig as DataConfig
from polydiff.contract.sections.network import BackboneConfig as BackboneConfig
from polydiff.contract.sections.run import Config as Config
from polydiff.contract.sections.sampling import SampleConfig as SampleConfig
from polydiff.contract.sections.training import LossConfig as LossConfig
from polydiff.contract.sections.training import OptimConfig as OptimConfig
from polydiff.contract.sections.training import TrainConfig as TrainConfig
