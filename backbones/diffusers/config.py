"""Configuration of a network of diffusers. This module does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from polydiff.contract.sections.network import BackboneConfig

SMALL: Mapping[str, Mapping[str, Any]] = {
    "UNet2DModel": {
        "block_out_channels": [32, 64],
        "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
        "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
        "layers_per_block": 2,
        "norm_num_groups": 8,
    },
    "UNet2DConditionModel": {
        "block_out_channels": [32, 64],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
        "layers_per_block": 2,
        "norm_num_groups": 8,
    },
    "DiTTransformer2DModel": {
        "num_attention_heads": 4, "attention_head_dim": 32, "num_layers": 4, "patch_size": 2, "sample_size": 8
    },
}  # fmt: skip
"""Class -> arguments for first tests on a CPU."""
FURTHER = (
    "class_embed_type", "addition_embed_type", "encoder_hid_dim", "encoder_hid_dim_type", "time_cond_proj_dim",
)  # fmt: skip
"""Arguments that give a network inputs of another kind than images, timesteps, classes and one embedding."""


class DiffusersConfig(BackboneConfig):
    """A network of the library diffusers, whose runs are exported to diffusers and imported from it."""

    name: str = "diffusers"
    """Which backbone."""
    model: Literal["UNet2DModel", "UNet2DConditionModel", "DiTTransformer2DModel"] = "UNet2DModel"
    """Class of the network in diffusers. A UNet2DConditionModel attends to an embedding, such as that of a text."""
    arguments: dict[str, Any] = Field({})
    """Arguments of the class, as in a config.json of diffusers, such as {layers_per_block: 2}; those left out are of a
    small network. The numbers of channels and of classes, and the width of an embedding, follow from the data."""

    @model_validator(mode="after")
    def _supported(self) -> Self:
        if self.step_size or self.self_condition:
            raise ValueError("step_size and self_condition are not for networks of diffusers; take backbone.name=unet")
        kind = self.arguments.get("time_embedding_type", "positional")
        if kind != "positional":
            raise ValueError(
                f"arguments.time_embedding_type={kind} belongs to a schedule of its own; only positional is supported"
            )
        for name in FURTHER:
            if self.arguments.get(name) is not None:
                raise ValueError(
                    f"arguments.{name} is not supported: a network here receives images, timesteps, classes and one "
                    "embedding"
                )
        return self
