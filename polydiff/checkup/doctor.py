"""Check of the installation, for `polydiff doctor`: packages, devices, folders, plugins."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from polydiff.contract.backbone import BackboneSpec
from polydiff.contract.discover import Finding, discover, duplicates, load, tried
from polydiff.contract.spec import DomainSpec
from polydiff.core.extensions import installed
from polydiff.machine.environment import cores, version
from polydiff.support.disk import cache_dir
from polydiff.support.errors import one_line
from polydiff.tracking.spec import TrackerSpec

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
"""Distribution -> (module to import, requirement that installs it)."""
HIDDEN_EXTRAS = ("all", "bench", "dev", "docs")
"""Extras that are no features: a collection of others, and what developers need."""
CORE = ("numpy", "einops", "pydantic", "rich", "PyYAML", "safetensors", "Jinja2")
IMPORT_SECONDS = 120.0
"""Time limit of an import, in seconds."""
TIMED = 0.1
"""Time for which each of the two convolutions is repeated in a turn, in seconds."""
TURNS = 4
"""Number of turns, so that other work on the machine does not slow one of the two throughout."""
MIN_FREE_BYTES = 2**30
"""Free disk space in bytes below which checkpoints may not fit."""


def examine() -> list[Finding]:
    """Return the findings on every part of the installation."""
    probes = {name: probe(module) for name, (module, _) in OPTIONAL.items() if version(name)}
    return [
        Finding("polydiff", "ok", version("polydiff")),
        Finding("python", "ok", f"{platform.python_version()} on {platform.platform()}"),
        *(core_package(name) for name in CORE),
        *torch_findings(),
        *backbones(),
        *(optional_package(name, probes.get(name)) for name in OPTIONAL),
        *extras(),
        *folders(),
        *plugins(),
        *extensions(),
    ]


def core_package(name: str) -> Finding:
    """Check a required package."""
    found = version(name)
    return Finding(name, "ok", found) if found else Finding(name, "broken", f"not installed; run: pip install {name}")


def probe(module: str) -> subprocess.Popen[str]:
    """Start to import a module in a process of its own, so that a crash ends only that process."""
    return subprocess.Popen(  # noqa: S603 - our own interpreter and a module named above
        [sys.executable, "-c", f"import {module}"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def optional_package(name: str, process: subprocess.Popen[str] | None) -> Finding:
    """Check an optional package.

    Arguments:
        name: Name of the distribution.
        process: Its `probe`; None if it is not installed.
    """
    if process is None:
        return Finding(name, "absent", f"not installed; run: pip install '{OPTIONAL[name][1]}'")
    try:
        _, errors = process.communicate(timeout=IMPORT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return Finding(name, "broken", f"{version(name)}; its import does not finish within {IMPORT_SECONDS:g} s")
    if process.returncode == 0:
        return Finding(name, "ok", version(name))
    last = (errors.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
    return Finding(name, "broken", f"{version(name)} cannot be imported: {last}{pairing(name)}")


def extras() -> Iterator[Finding]:
    """Report of each extra of the package, such as polydiff[audio], whether all that it requires is installed."""
    needs: dict[str, list[str]] = {}
    for requirement in metadata.requires("polydiff") or ():
        name = re.match(r"[\w.-]+", requirement)
        extra = re.search(r"""extra == ["']([\w-]+)["']""", requirement)
        if name and extra and extra[1] not in HIDDEN_EXTRAS:
            needs.setdefault(extra[1], []).append(name[0])
    for extra_name, names in needs.items():
        missing = [one for one in names if not version(one)]
        text = f"lacks {', '.join(missing)}; run: pip install 'polydiff[{extra_name}]'" if missing else ", ".join(names)
        yield Finding(f"extra {extra_name}", "absent" if missing else "ok", text)


def pairing(name: str) -> str:
    """Return advice if torchaudio has another version than torch; else ""."""
    ours, torchs = version("torchaudio").partition("+")[0], version("torch").partition("+")[0]
    if name != "torchaudio" or ours == torchs:
        return ""
    return f". torchaudio {ours} and torch {torchs} must have the same version; run: pip install torchaudio=={torchs}"


def torch_findings() -> Iterator[Finding]:
    """Check torch and its devices, and measure bf16."""
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
        reason = "torch has CUDA support, but finds no GPU" if torch.version.cuda else "torch has no CUDA support"
        yield Finding("GPU", "note", f"none: {reason}; training runs on the CPU")
    yield Finding("CPU", "ok", f"{cores()} cores for this process, {torch.get_num_threads()} threads in torch")
    yield threads()
    yield bf16(torch.device("cuda" if torch.cuda.is_available() else "cpu"))


def threads() -> Finding:
    """Measure whether several threads are slower than one, which other processes can cause."""
    from polydiff.machine import contention

    text = contention.advice()
    return Finding("threads", "note" if text else "ok", text or "no slower together than one alone")


def backbones() -> Iterator[Finding]:
    """Yield the findings of every backbone that has an examination of its own (`BackboneSpec.examine`)."""
    for plugin in discover(BackboneSpec):
        if plugin.status != "ready" or not plugin.spec.examine:
            continue
        try:
            yield from load(plugin.spec.examine)()
        except Exception as error:  # noqa: BLE001 - a plugin may fail in any way; it fails alone
            yield Finding(f"backbone {plugin.name}", "broken", f"its examination fails: {one_line(error)}")


def bf16(device: torch.device) -> Finding:
    """Measure the speed of a bf16 convolution relative to fp32, and report the choice of train.precision=auto."""
    import torch

    from polydiff.machine.device import pick_precision
    from polydiff.machine.timing import fastest

    weight = torch.ones(64, 64, 3, 3, device=device).contiguous(memory_format=torch.channels_last)
    x = torch.ones(8, 64, 32, 32, device=device).contiguous(memory_format=torch.channels_last)

    def wide() -> None:
        torch.nn.functional.conv2d(x, weight)

    def narrow() -> None:
        torch.nn.functional.conv2d(x.bfloat16(), weight.bfloat16())

    turns = [(fastest(wide, device, TIMED), fastest(narrow, device, TIMED)) for _ in range(TURNS)]
    ratio = min(times[0] for times in turns) / min(times[1] for times in turns)
    chosen = pick_precision("auto", device)
    return Finding(
        "bf16",
        "note",
        f"bf16 convolution on {device}: {ratio:.1f} times as fast as fp32; train.precision=auto: {chosen}",
    )


def folders() -> Iterator[Finding]:
    """Check the disk of the working directory, and the cache folder."""
    free = shutil.disk_usage(Path.cwd()).free
    room = f"{free / 2**30:.1f} GiB free in {Path.cwd()}"
    yield Finding("disk", "ok" if free > MIN_FREE_BYTES else "note", room)
    cache = cache_dir()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache):
            pass
    except OSError as error:
        yield Finding(
            "cache", "broken", f"{cache} cannot be written: {error.strerror}. Set POLYDIFF_CACHE to a writable folder."
        )
        return
    size = sum(file.stat().st_size for file in cache.rglob("*") if file.is_file())
    yield Finding("cache", "ok", f"{cache}, {size / 2**20:.1f} MiB")


def plugins() -> Iterator[Finding]:
    """Check every domain, backbone and tracker."""
    status: dict[str, Status] = {"ready": "ok", "needs install": "absent", "broken": "broken"}
    kinds = ((DomainSpec, ("config", "factory")), (BackboneSpec, ("config", "factory")), (TrackerSpec, ("factory",)))
    for kind, keys in kinds:
        found, label = discover(kind), kind.kind
        twice = duplicates(found)
        for plugin in (tried(plugin, *keys) for plugin in found):
            clash = plugin.name in twice
            text = "more than one package provides it" if clash else plugin.reason
            yield Finding(
                f"{label} {plugin.name}",
                "broken" if clash else status[plugin.status],
                f"{plugin.distribution}{'; ' if text else ''}{text}",
            )


def extensions() -> Iterator[Finding]:
    """Import every extension and report failures."""
    for one in installed():
        status: Status = "broken" if one.reason else "ok"
        yield Finding(f"extension {one.name}", status, f"{one.source}{'; ' if one.reason else ''}{one.reason}")
