"""Diffusion models for more than one kind of data: one core for images, waveforms, molecules and what you add.

Names load on use, so that `import polydiff` waits for nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from polydiff.config import Config as Config
    from polydiff.data import batches as batches
    from polydiff.denoise import Denoise as Denoise
    from polydiff.denoise import Denoiser as Denoiser
    from polydiff.domain import Domain as Domain
    from polydiff.domain import DomainSpec as DomainSpec
    from polydiff.domain import Metric as Metric
    from polydiff.domain import Samples as Samples
    from polydiff.editing import inpaint as inpaint
    from polydiff.editing import interpolate as interpolate
    from polydiff.editing import read as read
    from polydiff.editing import vary as vary
    from polydiff.errors import UserError as UserError
    from polydiff.evaluation import evaluate as evaluate
    from polydiff.forward import q_sample as q_sample
    from polydiff.guidance import ClassifierFree as ClassifierFree
    from polydiff.loss import Loss as Loss
    from polydiff.model import Model as Model
    from polydiff.model import load as load
    from polydiff.plugins import BackboneSpec as BackboneSpec
    from polydiff.plugins import build_backbone as build_backbone
    from polydiff.random import stream as stream
    from polydiff.random import streams as streams
    from polydiff.report import write_report as write_report
    from polydiff.sampling import SAMPLERS as SAMPLERS
    from polydiff.sampling import Row as Row
    from polydiff.sampling import sample as sample
    from polydiff.sampling import trajectory as trajectory
    from polydiff.schedule import SCHEDULES as SCHEDULES
    from polydiff.schedule import Schedule as Schedule
    from polydiff.settings import resolve as resolve
    from polydiff.space import Batch as Batch
    from polydiff.space import Euclidean as Euclidean
    from polydiff.space import Space as Space
    from polydiff.target import TARGETS as TARGETS
    from polydiff.trainer import resume as resume
    from polydiff.trainer import train as train
    from polydiff.training import Training as Training
    from polydiff.training import fit as fit

_HOMES = {
    "config": ("Config",),
    "data": ("batches",),
    "denoise": ("Denoise", "Denoiser"),
    "domain": ("Domain", "DomainSpec", "Metric", "Samples"),
    "editing": ("inpaint", "interpolate", "read", "vary"),
    "errors": ("UserError",),
    "evaluation": ("evaluate",),
    "forward": ("q_sample",),
    "guidance": ("ClassifierFree",),
    "loss": ("Loss",),
    "model": ("Model", "load"),
    "plugins": ("BackboneSpec", "build_backbone"),
    "random": ("stream", "streams"),
    "report": ("write_report",),
    "sampling": ("SAMPLERS", "Row", "sample", "trajectory"),
    "schedule": ("SCHEDULES", "Schedule"),
    "settings": ("resolve",),
    "space": ("Batch", "Euclidean", "Space"),
    "target": ("TARGETS",),
    "trainer": ("resume", "train"),
    "training": ("Training", "fit"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'polydiff' has no attribute {name!r}")
    return getattr(import_module(f"polydiff.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
