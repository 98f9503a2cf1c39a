"""Where a network computes, and in what precision."""

from __future__ import annotations

import torch

from polydiff.support.errors import UserError


def pick_device(name: str) -> torch.device:
    """Return the device that a configuration names; "auto" is a GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdecimal()):
        raise UserError(f"device={name} is not a device's name; auto, cpu, cuda and cuda:1 are.")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise UserError(f"device={name}, but torch sees no such GPU here. Use device=cpu, or ask `polydiff doctor`.")
    return torch.device(name)


def pick_precision(name: str, device: torch.device) -> str:
    """Return "float32" or "bf16"; "auto" is bf16 on a GPU or a CPU that has instructions for it."""
    if name != "auto":
        return name
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return "bf16" if fast else "float32"
