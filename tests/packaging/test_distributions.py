"""The wheel and the source distribution hold what they need and nothing else, and work without the repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest
from repository import ROOT

TOPS = {"polydiff": "polydiff", "backbones": "polydiff/backbones", "domains": "polydiff/domains"}
"""Folder of the repository -> folder of the wheel."""
LOOSE = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "constraints.txt", "MANIFEST.in"}
MADE = {"PKG-INFO", "setup.cfg"}
"""Files at the top of the source distribution: those of the repository, and those that building makes."""


class Built(NamedTuple):
    """Both distributions."""

    wheel: Path
    source: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build a copy of the repository: the source distribution of it, and the wheel of the source distribution."""
    folder = tmp_path_factory.mktemp("built")
    skipped = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "runs", "golden")
    source = shutil.copytree(ROOT, folder / "copy", ignore=skipped)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,), (archive,) = (folder / "dist").glob("*.whl"), (folder / "dist").glob("*.tar.gz")
    return Built(wheel, archive)


def sources() -> dict[str, str]:
    """Path of each file of the packages in the repository -> its path in the wheel."""
    found = {}
    for top, target in TOPS.items():
        for path in (ROOT / top).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                found[str(path.relative_to(ROOT))] = f"{target}/{path.relative_to(ROOT / top)}"
    return found


def test_the_wheel_holds_the_packages_and_nothing_else(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read("polydiff-0.1.0.dist-info/METADATA").decode()
    inside = {name for name in names if not name.startswith("polydiff-0.1.0.dist-info/")}
    assert inside == set(sources().values())
    licences = {name for name in names if "dist-info/licenses/" in name}
    assert {Path(name).name for name in licences} == {"LICENSE", "3Dmol.LICENSE"}
    assert "Requires-Dist: torch>=2.11" in metadata
    assert built.wheel.stat().st_size < 3_000_000


def test_the_source_distribution_holds_what_builds_it(built: Built) -> None:
    with tarfile.open(built.source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames() if archive.getmember(name).isfile()}
    inside = {name for name in names if not name.startswith("polydiff.egg-info/")}
    assert inside == set(sources()) | LOOSE | MADE


class Installed(NamedTuple):
    """A wheel in a folder of its own, away from the repository, and a folder to work in."""

    site: Path
    work: Path

    def run(self, *words: str) -> str:
        """Run Python there, and return what it prints."""
        environment = {**os.environ, "PYTHONPATH": str(self.site)}
        command = [sys.executable, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.work, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    found = Installed(tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("work"))
    flags = ["--quiet", "--no-index", "--no-deps", "--disable-pip-version-check", "--target", str(found.site)]
    subprocess.run([sys.executable, "-m", "pip", "install", *flags, str(built.wheel)], check=True)
    return found


def test_the_wheel_works_without_the_repository(installed: Installed) -> None:
    place = installed.run("-c", "import polydiff; print(polydiff.__file__)").strip()
    assert place == str(installed.site / "polydiff" / "__init__.py")
    listed = json.loads(installed.run("-m", "polydiff", "domains", "list", "--json"))
    assert {one["name"] for one in listed if one["status"] == "ready"} >= {"image", "audio", "molecule", "sequence"}
    assert "domain.py" in installed.run("-m", "polydiff", "domains", "new", "tides")


@pytest.mark.slow
def test_the_wheel_trains_and_reports_without_the_repository(installed: Installed) -> None:
    few = ["train.steps=2", "train.batch_size=4", "backbone.channels=16", "backbone.blocks=1", "sample.steps=2"]
    installed.run("-m", "polydiff", "train", "--domain", "image", *few, "--judge", "0", "-o", "run")
    assert "<img" in (installed.work / "run" / "report.html").read_text()
