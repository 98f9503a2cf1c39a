r"""A UNet2DModel or DiTTransformer2DModel of diffusers as a backbone.

Such a network receives x_t = alpha_t x_0 + sigma_t eps with alpha_t^2 + sigma_t^2 = 1, and the timestep. A backbone
receives x / sqrt(s^2 + 1), which is the same x_t, and log s, of which the run's schedule gives the timestep
(`polydiff.gaussian.schedule.timesteps`). A class that is not given is one more class, after those of the data.

Symbols: s noise level, B batch, C channels, H and W height and width.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from polydiff.backbones.diffusers.config import SMALL, DiffusersConfig
from polydiff.backbones.unet_layers import zero
from polydiff.core.conditions import Classes, Condition, Conditions
from polydiff.core.space import Space
from polydiff.gaussian.schedule.base import Schedule
from polydiff.gaussian.schedule.timesteps import Timesteps
from polydiff.support.errors import UserError, amount, attempt


class DiffusersNetwork(nn.Module):
    """A network of diffusers for images (B, C, H, W).

    Arguments:
        config: Its class and arguments.
        channels: C of the data.
        dims: 2.
        conditions: Name -> kind; at most one, of classes.

    Raises:
        UserError: An argument is wrong, or contradicts the data; or the network cannot receive a condition.
    """

    timesteps: Timesteps | None = None

    def __init__(self, config: DiffusersConfig, *, channels: int, dims: int, conditions: Conditions) -> None:
        super().__init__()
        self.label, classes = one_class(conditions)
        self.model = build(config, channels, classes)
        self.channels = channels
        dit = config.model != "UNet2DModel"
        self.none = max(classes, 1) if dit else classes
        self.takes_classes = dit or classes > 0
        self.multiple = (
            self.model.config["patch_size"] if dit else 2 ** (len(self.model.config["block_out_channels"]) - 1)
        )

    def use_schedule(self, schedule: Schedule) -> None:
        """Take the timesteps of the run's schedule (`polydiff.gaussian.denoise.TakesSchedule`)."""
        self.timesteps = Timesteps(schedule)

    def forward(self, x: Tensor, log_sigma: Tensor, space: Space, cond: Condition | None = None) -> Tensor:
        """Return a state of the shape of x.

        Arguments:
            x: State of unit variance, (B, C, H, W).
            log_sigma: Log of the noise level, (B,).
            space: Space of x; unused.
            cond: Conditions, or None.
        """
        if any(size % self.multiple for size in x.shape[2:]):
            sides = " x ".join(map(str, x.shape[2:]))
            raise UserError(
                f"backbone.name=diffusers: this network takes sides divisible by {self.multiple}, not {sides}."
            )
        if self.timesteps is None:
            raise UserError("backbone.name=diffusers works with process=gaussian alone.")
        time = self.timesteps.of(log_sigma)
        out: Tensor = self.model(x, time, class_labels=self.labels(cond, x), return_dict=False)[0]
        return out[:, : self.channels]  # the rest is a variance, which a DiT may predict

    def diffusers_model(self, sign: int, label: int | None) -> Any:
        """Return a copy of the network for diffusers (`polydiff.export.diffusers.HasDiffusersModel`).

        Arguments:
            sign: 1, or -1 for a network that predicts the negative of this one.
            label: Class that becomes a part of the network, -1 for "not given"; None: classes stay an input.

        Raises:
            UserError: It is no UNet2DModel.
        """
        if not hasattr(self.model, "conv_out"):
            raise UserError(
                "A DiTTransformer2DModel is not exported: the pipeline of diffusers for it needs an autoencoder. "
                "Train with backbone.model=UNet2DModel."
            )
        model = copy.deepcopy(self.model)
        with torch.no_grad():
            for parameter in model.conv_out.parameters():
                parameter.mul_(sign)
            if self.takes_classes and label is not None:  # the embedding of a class is added to that of the timestep
                row = model.class_embedding.weight[self.none if label < 0 else label]
                model.time_embedding.linear_2.bias.add_(row)
                model.class_embedding = None
                model.register_to_config(num_class_embeds=None)
        return model

    def labels(self, cond: Condition | None, x: Tensor) -> Tensor | None:
        """Return the class of each sample, (B,); None for a network without classes."""
        if not self.takes_classes:
            return None
        none = torch.full((x.shape[0],), self.none, device=x.device)  # len would fix the size of an exported batch
        label = none if self.label is None else (cond or {}).get(self.label, none)
        return torch.where(label < 0, none, label)


def one_class(conditions: Conditions) -> tuple[str | None, int]:
    """Return the name of the condition and its number of classes; (None, 0) if there is none.

    Raises:
        UserError: There are several, or it is of another kind.
    """
    for name, kind in conditions.items():
        if not isinstance(kind, Classes):
            raise UserError(
                f"backbone.name=diffusers takes one condition, of classes, but {name} is a {kind.words}; "
                "unet takes it (backbone.name=unet)."
            )
    if len(conditions) > 1:
        raise UserError(
            f"backbone.name=diffusers takes one condition, of classes, not {', '.join(conditions)}; "
            "unet takes several (backbone.name=unet)."
        )
    return next(((name, kind.count) for name, kind in conditions.items() if isinstance(kind, Classes)), (None, 0))


def build(config: DiffusersConfig, channels: int, classes: int) -> Any:
    """Return the network of diffusers with untrained weights.

    Arguments:
        config: Class and arguments.
        channels: C of the data.
        classes: Number of classes of the data; 0: none.
    """
    import diffusers

    dit = config.model != "UNet2DModel"
    arguments = {**SMALL[config.model], **config.arguments}
    for name in ("in_channels", "out_channels"):
        if arguments.get(name) not in (None, channels, *((2 * channels,) if dit and name == "out_channels" else ())):
            raise UserError(
                f"backbone.arguments.{name}={arguments[name]}, but these data have {channels} channels. Leave it out."
            )
    key, rows = (
        ("num_embeds_ada_norm", max(classes, 1)) if dit else ("num_class_embeds", classes + 1 if classes else None)
    )
    if arguments.get(key) not in (None, rows):
        raise UserError(
            f"backbone.arguments.{key}={arguments[key]}, but these data have {amount(classes, 'class', 'classes')}. "
            "Leave it out."
        )
    arguments = {"in_channels": channels, "out_channels": channels, **arguments, key: rows}
    model = attempt("backbone.arguments", lambda: getattr(diffusers, config.model)(**arguments))
    if dit:
        for block in model.transformer_blocks:
            block.norm1.emb.class_embedder.dropout_prob = 0.0  # training withholds conditions itself
    else:
        zero(model.conv_out)  # so that training starts from the prediction 0
    return model
