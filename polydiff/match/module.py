"""The module that `learn=match` trains: a backbone of role "tower" and a temperature.

Symbols: B batch, E numbers of a vector.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from polydiff.core.conditions import Condition

COLDEST = 0.01
"""Least temperature; a lower one makes training unstable (Radford et al., 2021)."""


class TowerBackbone(Protocol):
    """What a backbone of role "tower" offers besides `nn.Module`; `polydiff.backbones.encoders.tower` is one.

    Attributes:
        names: Names of the conditions that it reads as texts.
    """

    names: Sequence[str]

    @property
    def width(self) -> int:
        """Numbers E of a vector."""

    def embed(self, x: Tensor) -> Tensor:
        """Return vectors (B, E) of states (B, C, ...)."""

    def embed_text(self, cond: Condition | None, batch: int) -> Tensor:
        """Return vectors (B, E) of the texts among the conditions of a batch."""


class Pair(nn.Module):
    """Encoders of states and texts to unit vectors.

    Arguments:
        network: A backbone of role "tower" (`TowerBackbone`).
        precision: "float32" or "bf16", the autocast precision of the network.
        temperature: Initial temperature of the loss, which is trained.
    """

    def __init__(self, network: nn.Module, precision: str = "float32", temperature: float = 0.07) -> None:
        super().__init__()
        self.network, self.precision = network, precision
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))

    def texts(self, cond: Condition | None) -> Condition:
        """Return those conditions of a batch that the network reads as texts."""
        return {name: value for name, value in (cond or {}).items() if name in self.network.names}  # type: ignore[operator]

    @property
    def width(self) -> int:
        """Numbers E of a vector."""
        return int(self.network.width)  # type: ignore[arg-type] # an attribute of the backbone

    @property
    def scale(self) -> Tensor:
        """Factor of the products of vectors, 1 / temperature, at most 1 / `COLDEST`."""
        return self.log_scale.clamp(max=-math.log(COLDEST)).exp()

    def embed(self, x: Tensor) -> Tensor:
        """Return unit vectors (B, E) of states (B, C, ...)."""
        with self.autocast(x.device):
            found = self.network.embed(x)  # type: ignore[operator] # a method of the backbone
        return functional.normalize(found.float(), dim=1)

    def embed_text(self, cond: Condition | None, batch: int) -> Tensor:
        """Return unit vectors (B, E) of the texts among the conditions of a batch."""
        with self.autocast(self.log_scale.device):
            found = self.network.embed_text(cond, batch)  # type: ignore[operator] # a method of the backbone
        return functional.normalize(found.float(), dim=1)

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """Return the context in which the network computes."""
        return torch.autocast(device.type, torch.bfloat16) if self.precision == "bf16" else nullcontext()
