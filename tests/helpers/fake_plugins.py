"""Distributions that are installed for one test: metadata in a folder on the path of this process and its children."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parent / "plugins"
DOMAINS, BACKBONES, EXTENSIONS = "polydiff.domains", "polydiff.backbones", "polydiff.extensions"


def distribution(folder: Path, name: str, entry_points: Mapping[str, Mapping[str, str]], version: str = "1.0") -> None:
    """Write the metadata of a distribution with these entry points (group -> name -> value)."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [
        f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()) for group, points in entry_points.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))


def install_ring(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the domain ring for this process and its children."""
    distribution(folder, "polydiff-ring", {DOMAINS: {"ring": "ring:SPEC"}})
    on_path(monkeypatch, PLUGINS, folder)


def install_spotted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the domain spotted, of several parts, for this process and its children."""
    distribution(folder, "polydiff-spotted", {DOMAINS: {"spotted": "spotted:SPEC"}})
    on_path(monkeypatch, PLUGINS, folder)


def on_path(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """Put folders on the path of this process and its children."""
    for folder in folders:
        monkeypatch.syspath_prepend(folder)
    before = os.environ.get("PYTHONPATH")
    parts = [*map(str, folders), *([before] if before else [])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(parts))


def polydiff(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the program `polydiff` in a new process, which sees the distributions that this one sees."""
    from forked import run_program  # after OMP_NUM_THREADS: it imports torch

    return run_program(words, cwd, seconds=300)
