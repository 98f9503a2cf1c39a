"""A server of tiny runs of four domains, and of two that restore examples, for all tests in this folder."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import Served, serving
from tiny_runs import TINY, tiny

from polydiff.training.trainer import train

MODELS = ("image", "audio", "molecule", "sequence", "enlarger", "vocoder")
LETTERS: dict[str, Any] = {**TINY, "backbone.width": 32, "backbone.depth": 1, "backbone.heads": 2, "data.largest": 20}


@pytest.fixture(scope="package")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for domain in ("image", "audio", "molecule"):
        tiny(domain, folder / domain)
    train("sequence", folder / "sequence", overrides=LETTERS)
    tiny("image", folder / "enlarger", task="upsample", **{"data.factor": 2})
    tiny("audio", folder / "vocoder", task="vocode")
    return folder


@pytest.fixture(scope="package")
def served(runs: Path) -> Iterator[Served]:
    paths = [runs / name for name in MODELS]
    limits = ["--max-steps", "4000", "--queue", "2", "--patience", "3", "--max-upload", "1"]
    with serving(paths, *limits) as found:
        yield found
        worker = found.worker()
    assert found.process.returncode == 128 + signal.SIGINT
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
