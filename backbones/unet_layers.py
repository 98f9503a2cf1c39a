"""What networks on planes share: their start and end (`PlaneNetwork`), convolutions, normalisation, signals."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from polydiff.backbones.config import DiTConfig, UNetConfig
from polydiff.backbones.embed import Context, ContextEmbedding, Output, entering
from polydiff.backbones.kernels.norm import GroupNorm
from polydiff.backbones.values import filled
from polydiff.core.conditions import Aligned, Condition, Conditions
from polydiff.core.space import Space
from polydiff.support.errors import UserError

M = TypeVar("M", nn.Conv2d, nn.Linear)


@dataclass(frozen=True)
class Plane:
    """Makes layers for planes: of images if dims = 2, of waveforms as planes of height 1 if dims = 1."""

    dims: int

    def sides(self, n: int, flat: int = 1) -> tuple[int, int]:
        """Return n for each axis, and `flat` for the height of a waveform."""
        return (n if self.dims == 2 else flat), n

    def fold(self, x: Tensor, patch: int) -> Tensor:
        """Turn the places of each patch of a plane into channels: (B, C, H, W) -> (B, C p q, H / p, W / q).

        A plane whose sides the patch does not divide is padded with zeros first.
        """
        p, q = self.sides(patch)
        x = functional.pad(x, (0, -x.shape[3] % q, 0, -x.shape[2] % p))
        return rearrange(x, "b c (h p) (w q) -> b (c p q) h w", p=p, q=q)

    def unfold(self, x: Tensor, patch: int) -> Tensor:
        """Undo `fold`, but for the padding."""
        p, q = self.sides(patch)
        return rearrange(x, "b (c p q) h w -> b c (h p) (w q)", p=p, q=q)

    def conv(self, c_in: int, c_out: int, kernel: int, stride: int = 1) -> nn.Conv2d:
        """Return a convolution that divides sizes by its stride, rounding up; for waveforms, the width alone.

        Arguments:
            c_in: Channels of the input.
            c_out: Channels of the output.
            kernel: Side of the kernel, odd.
            stride: Factor by which the output is smaller than the input.
        """
        padding = self.sides(kernel // 2, flat=0)
        return nn.Conv2d(c_in, c_out, self.sides(kernel), self.sides(stride), padding)


def output_layer(layer: M) -> M:
    """Return a layer, marked as one that computes the network's output: AdamW moves its weights if Muon is chosen."""
    layer.computes_output = True  # type: ignore[assignment] # kept by copies and by division among processes
    return layer


def zero(layer: M) -> M:
    """Return the layer with all parameters 0, so that a network starts as the identity or as 0."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def group_norm(channels: int, config: UNetConfig, affine: bool = True, silu: bool = True) -> GroupNorm:
    """Return a normalisation in `config.groups` groups, or, if this is 0, in groups of about `group_size` channels.

    Arguments:
        channels: C.
        config: Gives `groups` and `group_size`.
        affine: Whether the normalisation learns a gain and an offset for each channel.
        silu: Whether SiLU follows.
    """
    return GroupNorm(config.groups or groups_of(channels, config.group_size), channels, affine, silu)


def groups_of(channels: int, size: int) -> int:
    """Return a number of groups of about `size` channels that divides the channels."""
    return math.gcd(channels, max(channels // size, 1))


class Signals:
    """Conditions that are aligned with the state, as planes in the grid of its patches.

    Each signal becomes planes of its numbers, with 0 where they are not given, and a plane that marks where they are
    given. A place of a signal that covers several patches is repeated for each of them. Several places that lie in one
    patch become channels.

    Arguments:
        conditions: Name -> kind; only those that enter as planes are used.
        plane: Plane of the state.
        patch: Side of the state's patches.
        coordinates: Whether further planes hold the coordinates of each place, -1 to 1 along each axis (Liu et al.,
            2018, https://arxiv.org/abs/1807.03247).
    """

    def __init__(self, conditions: Conditions, plane: Plane, patch: int, coordinates: bool = False) -> None:
        self.kinds: dict[str, Aligned] = entering(conditions, "planes")
        self.plane, self.patch, self.coordinates = plane, patch, coordinates
        for name, kind in self.kinds.items():
            if patch % kind.every and kind.every % patch:
                raise UserError(
                    f"The signal {name} has a place for every {kind.every} of the state, which neither divide "
                    f"backbone.patch={patch} nor are a multiple of it."
                )

    @property
    def channels(self) -> int:
        """Channels of all planes."""
        places = self.plane.dims if self.coordinates else 0
        return places + sum((kind.channels + 1) * math.prod(self.inside(kind)) for kind in self.kinds.values())

    def inside(self, kind: Aligned) -> tuple[int, int]:
        """Return how many of a signal's places lie in a patch, along each axis."""
        return self.plane.sides(max(self.patch // kind.every, 1))

    def __call__(self, cond: Condition | None, like: Tensor) -> Iterator[Tensor]:
        """Yield planes (B, c, H, W) for a state's patches (B, *, H, W)."""
        if self.coordinates:
            sizes = like.shape[4 - self.plane.dims :]
            along = [torch.linspace(-1, 1, n, device=like.device, dtype=like.dtype) for n in sizes]
            yield (
                torch.stack(torch.meshgrid(*along, indexing="ij"))
                .reshape(1, -1, *like.shape[2:])
                .expand(len(like), -1, -1, -1)
            )
        for name, kind in self.kinds.items():
            height, width = (n * m for n, m in zip(like.shape[2:], self.inside(kind), strict=True))
            value = (cond or {}).get(name)
            if value is None:
                value = kind.blank(len(like), (1, 1), like.device)
            value = value if value.ndim == 4 else value[:, :, None]
            numbers, there = filled(value, 1)
            planes = torch.cat([numbers, there.to(value.dtype)], 1).to(like)
            for axis, n in zip((2, 3), self.plane.sides(max(kind.every // self.patch, 1)), strict=True):
                planes = planes.repeat_interleave(n, axis) if n > 1 else planes
            planes = functional.pad(
                planes, (0, width - planes.shape[3], 0, height - planes.shape[2])
            )  # negative numbers crop
            p, q = self.inside(kind)
            yield rearrange(planes, "b c (h p) (w q) -> b (c p q) h w", p=p, q=q)


class PlaneNetwork(nn.Module):
    """A network for states (B, C, L) or (B, C, H, W) of any size: patches and signals in, patches out.

    A subclass maps planes of patches to planes of patches (`planes`). States whose sizes `multiple` does not divide are
    padded with zeros, and the output is cropped.

    Arguments:
        config: Its dimensions.
        embedding: Width of the embedding of the noise level and the conditions.
        coarsest: Patches along an axis that one place of its coarsest grid covers.
        channels: C of the data.
        dims: 1 for waveforms, 2 for images.
        conditions: Name -> kind (`polydiff.core.conditions`).

    Attributes:
        enters: Channels of the planes that enter, signals included.
        leaves: Channels of the planes that leave.

    Raises:
        ValueError: `dims` is neither 1 nor 2.
        UserError: The patch does not fit a signal.
    """

    def __init__(
        self,
        config: UNetConfig | DiTConfig,
        embedding: int,
        coarsest: int,
        *,
        channels: int,
        dims: int,
        conditions: Conditions,
    ) -> None:
        super().__init__()
        if dims not in (1, 2):
            raise ValueError(f"The network {config.name} works in 1 or 2 dimensions, not in {dims}.")
        self.patch, self.plane = config.patch, Plane(dims)
        self.multiple = self.plane.sides(config.patch * coarsest)
        self.outputs = 2 if config.variance else 1
        self.signals = Signals(conditions, self.plane, config.patch, config.coordinates)
        self.embed = ContextEmbedding(conditions, embedding, config.text)
        folded = channels * math.prod(self.plane.sides(config.patch))
        self.enters, self.leaves = folded + self.signals.channels, self.outputs * folded

    def planes(self, h: Tensor, context: Context) -> Tensor:
        """Return planes (B, `leaves`, H, W) of planes h (B, `enters`, H, W)."""
        raise NotImplementedError

    def beside(self, x: Tensor, log_sigma: Tensor, context: Context) -> Tensor | None:
        """Return what is added to the output for a state x, of its shape; None: nothing."""
        return None

    def forward(self, x: Tensor, log_sigma: Tensor, space: Space, cond: Condition | None = None) -> Output:
        """Return a state of the shape of x, and with `variance` a second one.

        Arguments:
            x: State of unit variance, (B, C, L) or (B, C, H, W).
            log_sigma: Log of the noise level, (B,).
            space: Space of x; unused.
            cond: Conditions, or None.
        """
        image = x if x.ndim == 4 else x[:, :, None]
        height, width = image.shape[2:]
        padded = functional.pad(image, (0, -width % self.multiple[1], 0, -height % self.multiple[0]))
        patches = self.fold(padded)
        context = self.embed(log_sigma, cond)
        planes = self.planes(torch.cat([patches, *self.signals(cond, patches)], 1), context)
        f, *v = (self.unfold(h)[:, :, :height, :width].reshape(x.shape) for h in planes.chunk(self.outputs, 1))
        further = self.beside(x, log_sigma, context)
        f = f if further is None else f + further
        return (f, v[0]) if v else f

    def compile(self, **how: Any) -> None:
        """Compile the network as one graph for each shape; `how` holds further arguments of `torch.compile`."""
        super().compile(**({"fullgraph": True, "dynamic": False} | how))

    def fold(self, x: Tensor) -> Tensor:
        """Turn the places of each p x q patch into channels: (B, C, H, W) -> (B, C p q, H / p, W / q)."""
        return self.plane.fold(x, self.patch)

    def unfold(self, x: Tensor) -> Tensor:
        """Undo `fold`."""
        return self.plane.unfold(x, self.patch)
