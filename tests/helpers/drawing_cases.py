"""Cases that several tests share: drawing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from polydiff.contract.domain import Samples
from polydiff.gallery import writer as drawing
from polydiff.model.model import Model

FEW = {"train.steps": 2, "train.batch_size": 4, "train.sample_every": 100}


SMALL: dict[str, dict[str, object]] = {
    "ring": {},
    "image": {"backbone.channels": 16, "backbone.blocks": 1, "sample.steps": 3},
    "molecule": {"backbone.hidden": 16, "backbone.layers": 1, "sample.steps": 3, "data.max_heavy": 3},
    "dense": {
        "backbone.hidden": 16, "backbone.layers": 1, "sample.steps": 3, "data.max_heavy": 3, "data.layout": "dense"
    },
}  # fmt: skip


def files(folder: Path) -> dict[str, bytes]:
    """Name -> bytes of all files under a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stop_after(batches: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next drawing end with Ctrl-C after so many batches are written."""
    seen = 0

    def stopping(self: drawing.Writer, samples: Samples) -> int:
        nonlocal seen
        if seen == batches:
            raise KeyboardInterrupt
        seen += 1
        return write(self, samples)

    write = drawing.Writer.write
    monkeypatch.setattr(drawing.Writer, "write", stopping)


def draw_and_stop(batches: int, model: Model, folder: Path, n: int, **how: Any) -> None:
    """Begin to draw n samples into a folder, and stop with Ctrl-C after so many batches are written."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        stop_after(batches, monkeypatch)
        with pytest.raises(KeyboardInterrupt):
            drawing.draw(model, folder, n, **how)
