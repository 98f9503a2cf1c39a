r"""Export to diffusers: a pipeline of a UNet2DModel and a scheduler.

A network of diffusers receives x_t = alpha_t x_0 + sigma_t eps, alpha_t^2 + sigma_t^2 = 1, with x_0 in [-1, 1], and the
timestep, and predicts eps, x_0 or v. So the export is exact for runs whose network is one of diffusers
(backbone.name=diffusers), whose states are pixels (data.standardise=false) and whose target is eps, x0, v, edm or
score. With sigma_data = 1 the targets edm and score are -v and -eps, so the last layer changes its sign. The scheduler
gets the betas of the run's schedule at its timesteps (`polydiff.gaussian.schedule.timesteps`).
"""

from __future__ import annotations

import inspect
import shutil
from pathlib import Path
from typing import Any, Protocol

import torch

from polydiff.contract.domain import conditions_of
from polydiff.contract.sections.run import Config
from polydiff.core.streams import streams
from polydiff.export.deploys import HasProgram
from polydiff.export.formats import Request
from polydiff.export.network import EXAMPLES, check_exportable
from polydiff.export.program import REFERENCE, quiet
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.gaussian.schedule.timesteps import Timesteps
from polydiff.model.model import Model
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides

PREDICTIONS = {
    "eps": ("epsilon", 1),
    "score": ("epsilon", -1),
    "x0": ("sample", 1),
    "v": ("v_prediction", 1),
    "edm": ("v_prediction", -1),
}
"""Target -> the prediction of diffusers, and the factor between the two."""
BETAS = {"linear": "linear", "scaled_linear": "scaled_linear", "cosine_betas": "squaredcos_cap_v2"}
"""Schedule -> the betas of diffusers that are the same."""
OPTIONS = {"T": "num_train_timesteps", "beta_1": "beta_start", "beta_T": "beta_end"}
"""Option of such a schedule -> the key of a scheduler of diffusers."""
PIPELINE = "pipeline.py"


class HasDiffusersModel(Protocol):
    """A backbone that is a network of diffusers."""

    def diffusers_model(self, sign: int, label: int | None) -> Any:
        """Return a UNet2DModel that predicts `sign` times what the backbone does.

        Arguments:
            sign: 1 or -1.
            label: Class that becomes a part of the network, -1 for "not given"; None: classes stay an input.
        """


def write(request: Request, folder: Path) -> None:
    """Write a pipeline: model_index.json, unet/, scheduler/, and pipeline.py if classes are an input."""
    model = Model.load(request.run, weights=request.weights, device="cpu", ema=request.ema)
    check_exportable(model)
    prediction, sign = checked_prediction(model)
    import diffusers

    label = chosen_class(model, request)
    with quiet():
        unet = model.denoiser.backbone.diffusers_model(sign, label)
        space, _ = model.domain.blank(streams(0, "blank", range(EXAMPLES)), {})
        height, width = space.noise(streams(0, "sample", range(EXAMPLES))).shape[2:]
        unet.register_to_config(sample_size=height if height == width else (height, width))
        scheduler = diffusers.DDPMScheduler(
            **betas(model.config, Timesteps(model.denoiser.schedule)),
            prediction_type=prediction,
            clip_sample=False,
            timestep_spacing="trailing",
        )
        diffusers.DDPMPipeline(unet=unet, scheduler=scheduler).save_pretrained(folder)
    if unet.config.num_class_embeds is not None:
        shutil.copyfile(REFERENCE / "class_pipeline.py", folder / PIPELINE)


def checked_prediction(model: Model) -> tuple[str, int]:
    """Return the prediction of diffusers and the factor between it and the run's target.

    Raises:
        UserError: The network, the states or the target have no counterpart in diffusers; the message says which keys
            to train with.
    """
    config, domain = model.config, model.domain
    if not provides(model.denoiser.backbone, HasDiffusersModel):
        raise UserError(
            f"backbone.name={config.backbone.name}: diffusers has no such network. Train with backbone.name=diffusers "
            "data.standardise=false, or export with --format onnx."
        )
    values = domain.exported_program()[1] if provides(domain, HasProgram) else {}
    if set(values.get("mean", [])) | {values.get("std", 0.0) - 1} != {0.0}:
        raise UserError(
            "The states of the run are standardised, and those of diffusers are pixels in [-1, 1]. Train with "
            "data.standardise=false."
        )
    if config.target not in PREDICTIONS:
        raise UserError(
            f"target={config.target}: the schedulers of diffusers know epsilon, sample and v_prediction. Train with "
            f"target=v ({', '.join(PREDICTIONS)} are exported)."
        )
    return PREDICTIONS[config.target]


def chosen_class(model: Model, request: Request) -> int | None:
    """Return the class that becomes a part of the network, -1 for none; None if the classes stay an input."""
    if not request.cond:
        return None
    found = model.conditions(request.cond, 0, [0])
    (name,) = conditions_of(model.domain)  # such a network has one condition, or none, which is then an error
    return int(found[name])


def betas(config: Config, timesteps: Timesteps) -> dict[str, Any]:
    """Return the keys of a scheduler of diffusers that describe the schedule of a run."""
    options = config.schedule_options
    if config.schedule in BETAS and options.keys() <= OPTIONS.keys():
        defaults = {name: p.default for name, p in inspect.signature(SCHEDULES[config.schedule]).parameters.items()}
        found = {OPTIONS[name]: value for name, value in {**defaults, **options}.items() if name in OPTIONS}
        return {"beta_schedule": BETAS[config.schedule], **found}
    alpha_bar = torch.sigmoid(timesteps.log_snr())
    ratios = torch.cat([alpha_bar[:1], alpha_bar[1:] / alpha_bar[:-1]])
    return {"num_train_timesteps": timesteps.count, "trained_betas": (1 - ratios).tolist()}
