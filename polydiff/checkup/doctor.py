"""What is installed here, whether it works, and what to do about what does not."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from polydiff.contract.backbone import BackboneSpec
from polydiff.contract.discover import Finding, discover, duplicates, load
from polydiff.contract.domain import DomainSpec
from polydiff.core.extensions import installed
from polydiff.machine.environment import cores, version
from polydiff.support.errors import one_line
from polydiff.support.files import cache_dir

if TYPE_CHECKING:
    import torch

Status = Literal["ok", "absent", "note", "broken"]

OPTIONAL = {
    "torchaudio": ("torchaudio", "polydiff[audio]"),
    "soundfile": ("soundfile", "polydiff[audio]"),
    "matplotlib": ("matplotlib", "polydiff[audio]"),
    "torch-geometric": ("torch_geometric", "polydiff[molecule]"),
    "rdkit": ("rdkit.Chem", "polydiff[molecule]"),
    "pillow": ("PIL.Image", "polydiff[image]"),
    "scikit-learn": ("sklearn.datasets", "polydiff[image]"),
}
"""Distribution -> (module to import, what installs it)."""
CORE = ("numpy", "einops", "pydantic", "rich", "PyYAML", "safetensors", "Jinja2")
PATIENCE = 120.0
"""Seconds that an import may take."""
TIMED = 0.1
"""Seconds for which each of two convolutions is repeated."""
LEAST_DISK = 2**30
"""Free bytes under which a run may not find room for its checkpoints."""


def examine() -> list[Finding]:
    """Look at everything."""
    probes = {name: probe(module) for name, (module, _) in OPTIONAL.items() if version(name)}
    return [
        Finding("polydiff", "ok", version("polydiff")),
        Finding("python", "ok", f"{platform.python_version()} on {platform.platform()}"),
        *(core_package(name) for name in CORE),
        *torch_findings(),
        *backbones(),
        *(optional_package(name, probes.get(name)) for name in OPTIONAL),
        *folders(),
        *plugins(),
        *extensions(),
    ]


def core_package(name: str) -> Finding:
    """Look at a package that polydiff cannot do without."""
    found = version(name)
    return Finding(name, "ok", found) if found else Finding(name, "broken", f"not installed; type: pip install {name}")


def probe(module: str) -> subprocess.Popen[str]:
    """Begin to import a module in a process of its own, which a crash ends and nothing else."""
    return subprocess.Popen(  # noqa: S603 - our own interpreter and a module named above
        [sys.executable, "-c", f"import {module}"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def optional_package(name: str, process: subprocess.Popen[str] | None) -> Finding:
    """Look at a package that some domain needs.

    Arguments:
        name: Of the distribution.
        process: Its `probe`; None: it is not installed.
    """
    if process is None:
        return Finding(name, "absent", f"not installed; type: pip install '{OPTIONAL[name][1]}'")
    try:
        _, errors = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return Finding(name, "broken", f"{version(name)}; its import does not end within {PATIENCE:g} s")
    if process.returncode == 0:
        return Finding(name, "ok", version(name))
    last = (errors.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
    return Finding(name, "broken", f"{version(name)} cannot be imported: {last}{pairing(name)}")


def pairing(name: str) -> str:
    """Return what to do where torchaudio cannot be imported: it must be of torch's own version."""
    ours, torchs = version("torchaudio").partition("+")[0], version("torch").partition("+")[0]
    if name != "torchaudio" or ours == torchs:
        return ""
    return f". torchaudio {ours} and torch {torchs} must be of one version; type: pip install torchaudio=={torchs}"


def torch_findings() -> Iterator[Finding]:
    """Look at torch, its devices and its speed."""
    try:
        import torch
    except (ImportError, OSError, RuntimeError) as error:
        yield Finding("torch", "broken", f"cannot be imported: {one_line(error)}")
        return
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU only"
    yield Finding("torch", "ok", f"{torch.__version__}, built for {build}")
    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        yield Finding("GPU", "ok", names)
    else:
        reason = "torch is built for it, but finds none" if torch.version.cuda else "torch is built without"
        yield Finding("GPU", "note", f"none: {reason}; training runs on the CPU")
    yield Finding("CPU", "ok", f"{cores()} cores for this process, {torch.get_num_threads()} threads in torch")
    yield bf16(torch.device("cuda" if torch.cuda.is_available() else "cpu"))


def backbones() -> Iterator[Finding]:
    """Let every backbone that can examine itself here do so (`BackboneSpec.examine`)."""
    for plugin in discover(BackboneSpec):
        if plugin.status != "ready" or not plugin.spec.examine:
            continue
        try:
            yield from load(plugin.spec.examine)()
        except Exception as error:  # noqa: BLE001 - a plugin may fail in any way; it fails alone
            yield Finding(f"backbone {plugin.name}", "broken", f"its own examination fails: {one_line(error)}")


def bf16(device: torch.device) -> Finding:
    """Measure how much faster a convolution is in bf16, where it is, and say what train.precision=auto takes."""
    import torch

    from polydiff.machine.device import pick_precision
    from polydiff.machine.timing import fastest

    weight = torch.ones(64, 64, 3, 3, device=device).contiguous(memory_format=torch.channels_last)
    x = torch.ones(8, 64, 32, 32, device=device).contiguous(memory_format=torch.channels_last)

    def wide() -> None:
        torch.nn.functional.conv2d(x, weight)

    def narrow() -> None:
        torch.nn.functional.conv2d(x.bfloat16(), weight.bfloat16())

    ratio = fastest(wide, device, TIMED) / fastest(narrow, device, TIMED)
    chosen = pick_precision("auto", device)
    return Finding(
        "bf16", "note", f"a convolution on {device} is {ratio:.1f} times as fast; train.precision=auto: {chosen}"
    )


def folders() -> Iterator[Finding]:
    """Look at the disk here and at the cache."""
    free = shutil.disk_usage(Path.cwd()).free
    room = f"{free / 2**30:.1f} GiB free in {Path.cwd()}"
    yield Finding("disk", "ok" if free > LEAST_DISK else "note", room)
    cache = cache_dir()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache):
            pass
    except OSError as error:
        yield Finding(
            "cache", "broken", f"{cache} cannot be written: {error.strerror}. Set POLYDIFF_CACHE to a folder that can."
        )
        return
    size = sum(file.stat().st_size for file in cache.rglob("*") if file.is_file())
    yield Finding("cache", "ok", f"{cache}, {size / 2**20:.1f} MiB")


def plugins() -> Iterator[Finding]:
    """Look at every domain and backbone."""
    status: dict[str, Status] = {"ready": "ok", "needs install": "absent", "broken": "broken"}
    for label, found in (("domain", discover(DomainSpec)), ("backbone", discover(BackboneSpec))):
        twice = duplicates(found)
        for plugin in found:
            clash = plugin.name in twice
            text = "more than one package provides it" if clash else plugin.reason
            yield Finding(
                f"{label} {plugin.name}",
                "broken" if clash else status[plugin.status],
                f"{plugin.distribution}{'; ' if text else ''}{text}",
            )


def extensions() -> Iterator[Finding]:
    """Import every extension and say which fails."""
    for one in installed():
        status: Status = "broken" if one.reason else "ok"
        yield Finding(f"extension {one.name}", status, f"{one.source}{'; ' if one.reason else ''}{one.reason}")
