"""Facts about the machine: date, device, cores and installed versions. Importing it imports no torch."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("polydiff", "torch", "numpy", "torchaudio", "torch-geometric", "rdkit", "posebusters", "scikit-learn")


def environment(device: str) -> dict[str, Any]:
    """Return date, device and versions, as values that JSON can hold, to save them with a result.

    Arguments:
        device: Name of the device in torch, such as "cpu" or "cuda:0".
    """
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": f"{device}, {device_name(device)}",
        "versions": installed(),
    }


def installed() -> dict[str, str]:
    """Return the versions of Python and of the installed packages that affect results."""
    return {"python": platform.python_version(), **versions()}


def versions() -> dict[str, str]:
    """Return name -> version of the installed packages that affect results (`PACKAGES`)."""
    return {name: found for name in PACKAGES if (found := version(name))}


def version(name: str) -> str:
    """Return the version of a distribution; "" if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device_name(device: str) -> str:
    """Return a description of a device: the name of the GPU, or the processor and the cores this process may use."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    return f"{processor()} ({cores()} cores)"


def processor() -> str:
    """Return the name of the processor as the operating system reports it."""
    if platform.system() == "Linux":
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(
            (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
        )
    return platform.processor() or platform.machine()
