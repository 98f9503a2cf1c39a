"""The module that `learn=encode` trains: a backbone of role "codec" in the precision of training.

Symbols: B batch, x clean states with C channels, z codes with K (`polydiff.encode.codes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from polydiff.core.space import Euclidean, Space
from polydiff.encode.codes import code_space


class CodecBackbone(Protocol):
    """What a backbone of role "codec" offers besides `nn.Module`.

    Examples are `polydiff.backbones.encoders.autoencoder` and, for points, `polydiff.backbones.encoders.points`.
    """

    def encode(self, x: Tensor, space: Space) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of each number of the codes, of states x of a space.

        They are (B, K, ...) each for a grid (B, C, ...), and (.., 3 + K) for points (.., 3 + C) (`core.space.Points`).
        """

    def decode(self, z: Tensor, space: Space | None = None) -> Tensor:
        """Return states of a space from their codes z; on a grid, of at least the sizes of the space.

        Without a space, states on a grid are as large as their codes allow. Points always have one.
        """


class PointCodec(CodecBackbone, Protocol):
    """A `CodecBackbone` of points.

    Attributes:
        channels: C.
        codes: K.
    """

    channels: int
    codes: int


class Codes(NamedTuple):
    """The codes of a batch of states.

    Attributes:
        mean: Mean of each number.
        log_variance: Log variance of each number, of the shape of the means.
        space: Space of the codes.
    """

    mean: Tensor
    log_variance: Tensor
    space: Space

    def draw(self, generators: Sequence[torch.Generator]) -> Tensor:
        """Return codes z = mean + exp(log_variance / 2) eps, with one random stream for each sample."""
        noise = self.space.noise(generators).to(self.mean)
        return self.space.project(self.mean + torch.exp(self.log_variance / 2) * noise)


class Encoder(nn.Module):
    """An autoencoder with the precision of its network; codes and states are float32.

    Arguments:
        network: A backbone of role "codec" (`CodecBackbone`).
        precision: "float32" or "bf16", the autocast precision of the network.
    """

    def __init__(self, network: nn.Module, precision: str = "float32") -> None:
        super().__init__()
        self.network, self.precision = network, precision

    def encode(self, x: Tensor, space: Space) -> Codes:
        """Return the codes of states x of a space."""
        with self.autocast(x.device):
            mean, log_variance = self.network.encode(x, space)  # type: ignore[operator] # a method of the backbone
        codes = code_space(mean, space)
        return Codes(codes.project(mean.to(x.dtype)), log_variance.to(x.dtype), codes)

    def decode(self, z: Tensor, space: Space) -> Tensor:
        """Return the states of a space from their codes z."""
        with self.autocast(z.device):
            x = self.network.decode(z, space)  # type: ignore[operator] # a method of the backbone
        x = x.to(z.dtype)
        return space.project(cropped(x, space.shape[1:]) if isinstance(space, Euclidean) else x)

    def forward(self, x: Tensor, space: Space) -> Tensor:
        """Return the reconstructions of states through the means of their codes, of the shape of x."""
        return self.decode(self.encode(x, space).mean, space)

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """Return the context in which the network computes."""
        return torch.autocast(device.type, torch.bfloat16) if self.precision == "bf16" else nullcontext()


def cropped(x: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return the part (B, C, *sizes) at the beginning of each axis of tensors (B, C, ...)."""
    for axis, size in enumerate(sizes):
        x = x.narrow(2 + axis, 0, min(size, x.shape[2 + axis]))
    return x
