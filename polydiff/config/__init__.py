"""Configurations: their sections, and how presets, files, Python and the command line are merged into one."""

from polydiff.contract.sections import BackboneConfig as BackboneConfig
from polydiff.contract.sections import Config as Config
from polydiff.contract.sections import DataConfig as DataConfig
from polydiff.contract.sections import LossConfig as LossConfig
from polydiff.contract.sections import Numbers as Numbers
from polydiff.contract.sections import OptimConfig as OptimConfig
from polydiff.contract.sections import RunPath as RunPath
from polydiff.contract.sections import SampleConfig as SampleConfig
from polydiff.contract.sections import Section as Section
from polydiff.contract.sections import TrainConfig as TrainConfig
