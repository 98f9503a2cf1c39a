"""The domain audio with its built-in sounds, and those sounds as a reference of metrics."""

from __future__ import annotations

import pytest
from audio_evaluation_cases import LENGTH, RATE, reference
from torch import Tensor

from polydiff.domains.audio.config import AudioConfig
from polydiff.domains.audio.data.plucks import Plucks
from polydiff.domains.audio.domain import Audio
from polydiff.domains.audio.metrics.reference import Reference


@pytest.fixture(scope="module")
def audio() -> Audio:
    return Audio(AudioConfig())


@pytest.fixture(scope="module")
def plucks() -> tuple[Tensor, Tensor, Reference]:
    """Return training clips, held-out clips, and what compares other clips with both."""
    data = Plucks(RATE, LENGTH, 24, {"train": 600, "test": 400})
    train, test = data.clips("train", range(600))[0], data.clips("test", range(400))[0]
    return train, test, reference(train, test)
