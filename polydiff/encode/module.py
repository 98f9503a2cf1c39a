"""The module that `learn=encode` trains: a backbone of role "codec" in the precision of training.

Symbols: x clean states (B, ...), z codes (B, K, ...).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from torch import Tensor, nn


class CodecBackbone(Protocol):
    """What a backbone of role "codec" offers besides `nn.Module`; `polydiff.backbones.encoders.autoencoder` is one."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of each number of the codes, (B, K, ...) each, of states x (B, C, ...)."""

    def decode(self, z: Tensor) -> Tensor:
        """Return states (B, C, ...) of codes z (B, K, ...), of at least the sizes of the states that were encoded."""


class Encoder(nn.Module):
    """An autoencoder with the precision of its network; codes and states are float32.

    Arguments:
        network: A backbone of role "codec" (`CodecBackbone`).
        precision: "float32" or "bf16", the autocast precision of the network.
    """

    def __init__(self, network: nn.Module, precision: str = "float32") -> None:
        super().__init__()
        self.network, self.precision = network, precision

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the codes of states, (B, K, ...) each."""
        with self.autocast(x.device):
            mean, log_variance = self.network.encode(x)  # type: ignore[operator] # a method of the backbone
        return mean.to(x.dtype), log_variance.to(x.dtype)

    def decode(self, z: Tensor, sizes: Sequence[int]) -> Tensor:
        """Return the states (B, C, *sizes) of codes z (B, K, ...)."""
        with self.autocast(z.device):
            x = self.network.decode(z)  # type: ignore[operator] # a method of the backbone
        return cropped(x.to(z.dtype), sizes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the reconstructions of states through the means of their codes, of the shape of x."""
        return self.decode(self.encode(x)[0], x.shape[2:])

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """Return the context in which the network computes."""
        return torch.autocast(device.type, torch.bfloat16) if self.precision == "bf16" else nullcontext()


def cropped(x: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return the part (B, C, *sizes) at the beginning of each axis of tensors (B, C, ...)."""
    for axis, size in enumerate(sizes):
        x = x.narrow(2 + axis, 0, min(size, x.shape[2 + axis]))
    return x


def draw(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """Return codes z = mean + exp(log_variance / 2) noise, all of one shape (B, K, ...)."""
    return mean + torch.exp(log_variance / 2) * noise
