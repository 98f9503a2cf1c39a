"""Device and precision of a network."""

from __future__ import annotations

import os

import torch

from polydiff.support.errors import UserError
from polydiff.support.launched import launched


def pick_device(name: str) -> torch.device:
    """Return the device of this name; "auto" is a GPU if torch sees one, else the CPU.

    Of several processes on a machine, each has its own GPU with "auto" and "cuda".

    Raises:
        UserError: The name is not that of a device, or torch sees no such GPU.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and launched().local_world > 1:
        name = f"cuda:{launched().local}"
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdecimal()):
        raise UserError(f"device={name} is not the name of a device. Use auto, cpu, cuda, or a GPU such as cuda:1.")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise UserError(f"device={name}, but torch sees no such GPU. Use device=cpu, or see `polydiff doctor`.")
    return torch.device(name)


def pick_precision(name: str, device: torch.device) -> str:
    """Return the precision "float32" or "bf16" for a device; "auto" is bf16 if the device has instructions for it.

    A CPU must also be allowed to use them: the variables ATEN_CPU_CAPABILITY and ONEDNN_MAX_CPU_ISA may forbid it.
    """
    if name != "auto":
        return name
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = allows_avx512() and (torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())
    return "bf16" if fast else "float32"


def allows_avx512() -> bool:
    """Return whether torch and oneDNN may use AVX-512, without which they emulate bf16 on a CPU."""
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "")
    return torch.backends.cpu.get_cpu_capability() == "AVX512" and "AVX2" not in limit
