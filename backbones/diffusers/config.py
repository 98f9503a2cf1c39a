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
    "DiTTransformer2DModel": {
        "num_attention_heads": 4, "attention_head_dim": 32, "num_layers": 4, "patch_size": 2, "sample_size": 8
    },
}  # fmt: skip
"""Class -> arguments for first tests on a CPU."""


class DiffusersConfig(BackboneConfig):
    """A network of the library diffusers, whose runs are exported to diffusers and imported from it."""

    name: str = "diffusers"
    """Which backbone."""
    model: Literal["UNet2DModel", "DiTTransformer2DModel"] = "UNet2DModel"
    """Class of the network in diffusers."""
    arguments: dict[str, Any] = Field({})
    """Arguments of the class, as in a config.json of diffusers, such as {layers_per_block: 2}; those left out are of a
    small network. The numbers of channels and of classes follow from the data."""

    @model_validator(mode="after")
    def _supported(self) -> Self:
        if self.step_size or self.self_condition:
            raise ValueError("step_size and self_condition are not for networks of diffusers; take backbone.name=unet")
        kind = self.arguments.get("time_embedding_type", "positional")
        if self.model == "UNet2DModel" and kind != "positional":
            raise ValueError(
                f"arguments.time_embedding_type={kind} belongs to a schedule of its own; only positional is supported"
            )
        if self.arguments.get("class_embed_type") is not None:
            raise ValueError("arguments.class_embed_type is not supported; leave it out for one embedding a class")
        return self
