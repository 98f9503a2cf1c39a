r"""Group normalisation, its gain and offset, and SiLU in one operation.

$$ y = \mathrm{silu}\Big(g\, \frac{h - \mu}{\sqrt{v + \varepsilon}} + o\Big), $$

with mean mu and variance v over all places and channels of a group, and gain g and offset o for each sample and channel
(Wu and He, 2018, https://arxiv.org/abs/1803.08494; modulated: Dhariwal and Nichol, 2021,
https://arxiv.org/abs/2105.05233). `plain` is the definition. On a CPU a kernel (norm.cpp) reads h twice and writes y
once. PyTorch's operators make four passes, and in channels-last order their backward pass is slow. In any precision,
the kernel's statistics are float32 and its sums over all places float64. On other devices, and where torch.compile
fuses operators, `plain` runs.

Symbols: B batch, C channels, H and W height and width, h activations (B, C, H, W).
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional

from polydiff.backbones.kernels.native import compiled, library, pointer

EPS = 1e-5
LANES = 16
"""Number of channels that the kernel processes at a time; it must divide C."""


class GroupNorm(nn.Module):
    """Group normalisation with SiLU after it.

    Arguments:
        groups: Number of groups, a divisor of the channels.
        channels: C.
        affine: Whether it learns a gain and an offset for each channel.
        silu: Whether SiLU follows.
    """

    weight: Tensor | None
    bias: Tensor | None

    def __init__(self, groups: int, channels: int, affine: bool = True, silu: bool = True) -> None:
        super().__init__()
        if groups < 1 or channels % groups:
            raise ValueError(f"{groups} groups do not divide {channels} channels.")
        self.groups, self.channels, self.silu = groups, channels, silu
        self.register_parameter("weight", nn.Parameter(torch.ones(channels)) if affine else None)
        self.register_parameter("bias", nn.Parameter(torch.zeros(channels)) if affine else None)

    def forward(self, h: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
        """Return activations of h's shape, modulated by 1 + scale and shift, each (B, C), where they are given."""
        gain, offset = self.weight, self.bias
        if scale is not None:
            gain = 1 + scale if gain is None else gain * (1 + scale)
            offset = shift if offset is None else torch.addcmul(shift, offset, 1 + scale)  # type: ignore[arg-type]
        gain = h.new_ones(1) if gain is None else gain
        offset = h.new_zeros(1) if offset is None else offset
        return normalised(h, self.groups, gain, offset, self.silu)


def normalised(h: Tensor, groups: int, gain: Tensor, offset: Tensor, silu: bool = True) -> Tensor:
    """Return silu(gain (h - mean) / std + offset), or the same without silu; uses the kernel if it can.

    Arguments:
        h: Activations (B, C, H, W).
        groups: Number of groups.
        gain: Broadcasts to (B, C).
        offset: As gain.
        silu: Whether SiLU follows.
    """
    gain, offset = gain.expand(h.shape[:2]), offset.expand(h.shape[:2])
    if fits(h, groups):
        y: Tensor = Fused.apply(  # type: ignore[no-untyped-call]
            h, groups, gain.float().contiguous(), offset.float().contiguous(), silu
        )
        return y
    return plain(h, groups, gain, offset, silu)


def plain(h: Tensor, groups: int, gain: Tensor, offset: Tensor, silu: bool = True) -> Tensor:
    """Return the result of `normalised` by PyTorch's operators.

    Arguments:
        h: Activations, (B, C, H, W).
        groups: Number of groups, a divisor of C.
        gain: g, (B, C).
        offset: o, (B, C).
        silu: Whether SiLU follows.
    """
    unit = functional.group_norm(h, groups, eps=EPS)
    y = torch.addcmul(offset.to(unit.dtype)[..., None, None], unit, gain.to(unit.dtype)[..., None, None])
    return functional.silu(y) if silu else y


def fits(h: Tensor, groups: int = 1) -> bool:
    """Return whether the kernel supports these activations (B, C, H, W)."""
    return (
        computed(h)
        and h.device.type == "cpu"
        and h.dtype in (torch.float32, torch.bfloat16)
        and h.numel() > 0
        and h.shape[1] % LANES == 0
        and groups > 0
        and h.shape[1] % groups == 0
        and h.is_contiguous(memory_format=torch.channels_last)
        and library("norm") is not None
    )


def computed(h: Tensor) -> bool:
    """Return whether an operator on h computes numbers: h is not traced, transformed or differentiated forwards."""
    return not (
        torch.compiler.is_compiling()
        or type(h) is not Tensor
        or torch.jit.is_tracing()
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
    )


class Fused(torch.autograd.Function):
    """`normalised` by the kernel."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, groups: int, gain: Tensor, offset: Tensor, silu: bool) -> Tensor:
        """Return normalised activations of the shape of h, and save what `backward` needs.

        Arguments:
            ctx: Context that carries tensors to `backward`.
            h: Activations that the kernel supports (`fits`), (B, C, H, W).
            groups: Number of groups.
            gain: g, (B, C), contiguous float32.
            offset: o, (B, C), contiguous float32.
            silu: Whether SiLU follows.
        """
        y = torch.empty_like(h)
        mean, rstd = gain.new_empty(2, len(h), groups)
        call("forward", h, groups, silu, ctypes.c_double(EPS), h, gain, offset, y, mean, rstd)
        ctx.save_for_backward(h, gain, offset, mean, rstd)
        ctx.groups, ctx.silu = groups, silu
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        h, gain, offset, mean, rstd = ctx.saved_tensors
        if torch.is_grad_enabled():  # second derivatives are needed
            y = plain(h, ctx.groups, gain, offset, ctx.silu)
            inputs = [t for t in (h, gain, offset) if t.requires_grad]
            found = iter(torch.autograd.grad(y, inputs, dy, create_graph=True))
            by_h, by_gain, by_offset = (next(found) if t.requires_grad else None for t in (h, gain, offset))
            return by_h, None, by_gain, by_offset, None
        dy = dy.to(h.dtype).contiguous(memory_format=torch.channels_last)
        dh, dgain, doffset = torch.empty_like(h), torch.empty_like(gain), torch.empty_like(offset)
        call("backward", h, ctx.groups, ctx.silu, h, dy, gain, offset, mean, rstd, dh, dgain, doffset)
        return dh, None, dgain, doffset, None


def call(name: str, h: Tensor, groups: int, silu: bool, *arguments: Any) -> None:
    """Call a function of norm.cpp with B, H W, C, `groups`, `silu`, the number of threads, and then `arguments`.

    Arguments:
        name: "forward" or "backward"; the precision of h completes the name.
        h: Activations, (B, C, H, W).
        groups: Number of groups.
        silu: Whether SiLU follows.
        arguments: The further arguments of the function; a tensor is passed as its address.
    """
    kernels = compiled("norm")  # also if the kernels were disabled after the forward pass
    assert kernels is not None
    batch, channels, height, width = h.shape
    sizes = (ctypes.c_int64(n) for n in (batch, height * width, channels, groups))
    function = getattr(kernels, f"{name}_{str(h.dtype).removeprefix('torch.')}")
    rest = (pointer(a) if isinstance(a, Tensor) else a for a in arguments)
    function(*sizes, int(silu), torch.get_num_threads(), *rest)
