"""Diffusion models for several kinds of data: one library for images, waveforms, molecules, texts and your own domains.

A name is imported from its module on first use, so `import polydiff` is fast and imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from polydiff.augmenting.augment import augment as augment
    from polydiff.config.merge import resolve as resolve
    from polydiff.contract.backbone import BackboneSpec as BackboneSpec
    from polydiff.contract.backbone import build_backbone as build_backbone
    from polydiff.contract.domain import Domain as Domain
    from polydiff.contract.domain import Samples as Samples
    from polydiff.contract.sections.run import Config as Config
    from polydiff.contract.spec import DomainSpec as DomainSpec
    from polydiff.core.space import Batch as Batch
    from polydiff.core.space import Euclidean as Euclidean
    from polydiff.core.space import Space as Space
    from polydiff.core.space import normal as normal
    from polydiff.core.streams import stream as stream
    from polydiff.core.streams import streams as streams
    from polydiff.gaussian.denoise import Denoise as Denoise
    from polydiff.gaussian.denoise import Denoiser as Denoiser
    from polydiff.gaussian.forward import q_sample as q_sample
    from polydiff.gaussian.guidance.guided import ClassifierFree as ClassifierFree
    from polydiff.gaussian.loss.base import Loss as Loss
    from polydiff.gaussian.sampling.execute import sample as sample
    from polydiff.gaussian.sampling.execute import trajectory as trajectory
    from polydiff.gaussian.sampling.plan import SAMPLERS as SAMPLERS
    from polydiff.gaussian.sampling.plan import Row as Row
    from polydiff.gaussian.schedule.base import SCHEDULES as SCHEDULES
    from polydiff.gaussian.schedule.base import Schedule as Schedule
    from polydiff.gaussian.target import TARGETS as TARGETS
    from polydiff.looking.page import look as look
    from polydiff.metrics.results import Metric as Metric
    from polydiff.model.calibration.fit import calibrate as calibrate
    from polydiff.model.edit import inpaint as inpaint
    from polydiff.model.edit import interpolate as interpolate
    from polydiff.model.edit import read as read
    from polydiff.model.edit import vary as vary
    from polydiff.model.model import Model as Model
    from polydiff.model.solve import solve as solve
    from polydiff.pipeline.chain import load as load
    from polydiff.pipeline.evaluate import evaluate as evaluate
    from polydiff.report.page import write_report as write_report
    from polydiff.support.errors import UserError as UserError
    from polydiff.training.data import batches as batches
    from polydiff.training.loop import Training as Training
    from polydiff.training.loop import fit as fit
    from polydiff.training.trainer import resume as resume
    from polydiff.training.trainer import train as train

_HOMES = {
    "augmenting.augment": ("augment",),
    "config.merge": ("resolve",),
    "contract.backbone": (
        "BackboneSpec",
        "build_backbone",
    ),
    "contract.domain": (
        "Domain",
        "Samples",
    ),
    "contract.sections.run": ("Config",),
    "contract.spec": ("DomainSpec",),
    "core.space": (
        "Batch",
        "Euclidean",
        "Space",
        "normal",
    ),
    "core.streams": (
        "stream",
        "streams",
    ),
    "gaussian.denoise": (
        "Denoise",
        "Denoiser",
    ),
    "gaussian.forward": ("q_sample",),
    "gaussian.guidance.guided": ("ClassifierFree",),
    "gaussian.loss.base": ("Loss",),
    "gaussian.sampling.execute": (
        "sample",
        "trajectory",
    ),
    "gaussian.sampling.plan": (
        "Row",
        "SAMPLERS",
    ),
    "gaussian.schedule.base": (
        "SCHEDULES",
        "Schedule",
    ),
    "gaussian.target": ("TARGETS",),
    "looking.page": ("look",),
    "metrics.results": ("Metric",),
    "model.calibration.fit": ("calibrate",),
    "model.edit": (
        "inpaint",
        "interpolate",
        "read",
        "vary",
    ),
    "model.model": ("Model",),
    "model.solve": ("solve",),
    "pipeline.chain": ("load",),
    "pipeline.evaluate": ("evaluate",),
    "report.page": ("write_report",),
    "support.errors": ("UserError",),
    "training.data": ("batches",),
    "training.loop": (
        "Training",
        "fit",
    ),
    "training.trainer": (
        "resume",
        "train",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'polydiff' has no attribute {name!r}")
    return getattr(import_module(f"polydiff.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
