"""On what a run was computed: date, device, versions. Loads no torch of itself."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("polydiff", "torch", "numpy", "torchaudio", "torch-geometric", "rdkit", "posebusters", "scikit-learn")


def environment(device: str) -> dict[str, Any]:
    """Return date, device and versions as JSON, to be kept with what was computed.

    Arguments:
        device: As torch calls it: "cpu", "cuda:0".
    """
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": f"{device}, {device_name(device)}",
        "versions": {"python": platform.python_version(), **versions()},
    }


def versions() -> dict[str, str]:
    """Return the versions of the packages that decide on results, of those that are installed."""
    return {name: found for name in PACKAGES if (found := version(name))}


def version(name: str) -> str:
    """Return the version of an installed distribution, "" if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device_name(device: str) -> str:
    """Return what a device is: a GPU's name, or the processor and how many of its cores this process may use."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    return f"{processor()} ({cores()} cores)"


def processor() -> str:
    """Return the processor's name as the system tells it."""
    if platform.system() == "Linux":
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(
            (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
        )
    return platform.processor() or platform.machine()
