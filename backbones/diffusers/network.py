r"""A UNet2DModel, UNet2DConditionModel or DiTTransformer2DModel of diffusers as a backbone.

Such a network receives x_t = alpha_t x_0 + sigma_t eps with alpha_t^2 + sigma_t^2 = 1, and the timestep. A backbone
receives x / sqrt(s^2 + 1), which is the same x_t, and log s, of which the run's schedule gives the timestep
(`polydiff.gaussian.schedule.timesteps`). A class that is not given is one more class, after those of the data. Tokens
of an embedding that are not given are masked; an embedding that is not given at all is one token of zeros.

Symbols: s noise level, B batch, C channels, H and W height and width, N tokens.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from polydiff.backbones.diffusers.config import SMALL, DiffusersConfig
from polydiff.backbones.unet_layers import zero
from polydiff.core.conditions import Classes, Condition, Conditions, Tokens, given
from polydiff.core.space import Space
from polydiff.gaussian.schedule.base import Schedule
from polydiff.gaussian.schedule.timesteps import Timesteps
from polydiff.support.errors import UserError, amount, attempt

EMBEDS, DIT = "UNet2DConditionModel", "DiTTransformer2DModel"


class DiffusersNetwork(nn.Module):
    """A network of diffusers for images (B, C, H, W).

    Arguments:
        config: Its class and arguments.
        channels: C of the data.
        dims: 2.
        conditions: Name -> kind; at most one of classes and, for a UNet2DConditionModel, one embedding.

    Raises:
        UserError: An argument is wrong, or contradicts the data; or the network cannot receive a condition.
    """

    timesteps: Timesteps | None = None

    def __init__(self, config: DiffusersConfig, *, channels: int, dims: int, conditions: Conditions) -> None:
        super().__init__()
        self.label, self.embedding = inputs(conditions, config.model == EMBEDS)
        classes = sum(kind.count for kind in conditions.values() if isinstance(kind, Classes))
        width = sum(kind.width for kind in conditions.values() if isinstance(kind, Tokens))
        self.model = build(config, channels, classes, width)
        self.channels = channels
        dit = config.model == DIT
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
        read = self.tokens(cond, x)
        out: Tensor = self.model(x, time, class_labels=self.labels(cond, x), return_dict=False, **read)[0]
        return out[:, : self.channels]  # the rest is a variance, which a network may predict

    def diffusers_model(self, sign: int, label: int | None) -> Any:
        """Return a copy of the network for diffusers (`polydiff.export.diffusers.HasDiffusersModel`).

        Arguments:
            sign: 1, or -1 for a network that predicts the negative of this one.
            label: Class that becomes a part of the network, -1 for "not given"; None: classes stay an input.

        Raises:
            UserError: It is no UNet2DModel.
        """
        if self.embedding is not None or not hasattr(self.model, "conv_out"):
            raise UserError(
                f"A {type(self.model).__name__} is not exported: the pipelines of diffusers for it need an "
                "autoencoder. Train with backbone.model=UNet2DModel."
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

    def tokens(self, cond: Condition | None, x: Tensor) -> dict[str, Tensor]:
        """Return the inputs of attention: the tokens (B, N, width), and which are given (B, N); {} if there is none."""
        if self.embedding is None:
            return {}
        width = self.model.config["cross_attention_dim"]
        none = torch.full((x.shape[0], 1, width), torch.nan, dtype=x.dtype, device=x.device)
        value = (cond or {}).get(self.embedding, none)
        there = given(value).all(2)
        return {
            "encoder_hidden_states": torch.where(there[..., None], value, 0).to(x.dtype),
            "encoder_attention_mask": there,
        }


def inputs(conditions: Conditions, embeds: bool) -> tuple[str | None, str | None]:
    """Return the names of the condition of classes and of the embedding; None for one that there is not.

    Arguments:
        conditions: Name -> kind.
        embeds: Whether the network attends to an embedding.

    Raises:
        UserError: There are several of a kind, one is of another kind, or the embedding is missing.
    """
    takes = "one condition of classes and one embedding" if embeds else "one condition, of classes"
    labels = [name for name, kind in conditions.items() if isinstance(kind, Classes)]
    embeddings = [name for name, kind in conditions.items() if embeds and isinstance(kind, Tokens)]
    for name, kind in conditions.items():
        if name not in (*labels, *embeddings):
            more = f"; so does backbone.model={EMBEDS}" if isinstance(kind, Tokens) else ""
            raise UserError(
                f"backbone.name=diffusers takes {takes}, but {name} is a {kind.words}; "
                f"unet takes it (backbone.name=unet){more}."
            )
    if len(labels) > 1 or len(embeddings) > 1:
        raise UserError(
            f"backbone.name=diffusers takes {takes}, not {', '.join(conditions)}; "
            "unet takes several (backbone.name=unet)."
        )
    if embeds and not embeddings:
        raise UserError(
            f"backbone.model={EMBEDS} attends to an embedding, which these data lack. Take backbone.model=UNet2DModel."
        )
    return next(iter(labels), None), next(iter(embeddings), None)


def build(config: DiffusersConfig, channels: int, classes: int, width: int) -> Any:
    """Return the network of diffusers with untrained weights.

    Arguments:
        config: Class and arguments.
        channels: C of the data.
        classes: Number of classes of the data; 0: none.
        width: Width of the tokens of the embedding; 0: there is none.
    """
    import diffusers

    dit, twice = config.model == DIT, config.model in (DIT, EMBEDS)  # such networks may predict a variance too
    arguments = {**SMALL[config.model], **config.arguments}
    for name in ("in_channels", "out_channels"):
        if arguments.get(name) not in (None, channels, *((2 * channels,) if twice and name == "out_channels" else ())):
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
    if width and arguments.get("cross_attention_dim") not in (None, width):
        raise UserError(
            f"backbone.arguments.cross_attention_dim={arguments['cross_attention_dim']}, but the embedding of these "
            f"data has the width {width}. Leave it out."
        )
    attention = {"cross_attention_dim": width} if width else {}
    arguments = {"in_channels": channels, "out_channels": channels, **arguments, **attention, key: rows}
    model = attempt("backbone.arguments", lambda: getattr(diffusers, config.model)(**arguments))
    if dit:
        for block in model.transformer_blocks:
            block.norm1.emb.class_embedder.dropout_prob = 0.0  # training withholds conditions itself
    else:
        zero(model.conv_out)  # so that training starts from the prediction 0
    return model
