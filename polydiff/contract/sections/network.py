"""Sections on the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from polydiff.contract.sections.base import Section


class TextConfig(Section):
    """The transformer that reads captions. It is trained together with the network."""

    before: ClassVar[Mapping[str, Any]] = {"kernel": 0}

    width: int = Field(64, ge=1)
    """Width of its activations."""
    layers: int = Field(2, ge=0)
    """Layers; 0: each word is read by itself."""
    heads: int = Field(4, ge=1)
    """Attention heads."""
    kernel: int = Field(9, ge=0, le=255)
    """Number of neighbouring tokens that the perceptron of each layer reads at once, odd; 0: each token by itself."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of activations dropped."""

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"heads={self.heads} must divide width={self.width}")
        if self.kernel and self.kernel % 2 == 0:
            raise ValueError(f"kernel={self.kernel} is even; take an odd one, or 0 for none")
        return self


class BackboneConfig(Section):
    """The network."""

    name: str
    """Name of the backbone, the network's architecture."""
    step_size: bool = False
    """Whether the network is conditioned on the sampler's step size; the objectives shortcut and mean_flow need it."""
    self_condition: bool = False
    """Whether the network is conditioned on its previous estimate; every second training step trains for it."""
    text: TextConfig = TextConfig()
    """How captions are read; unused without a condition that is text."""
