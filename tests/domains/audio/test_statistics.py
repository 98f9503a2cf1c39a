"""Statistics in a checkpoint of sounds: what is damaged or implausible is one error that names the key."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forged import forged, put

from polydiff.contract.discover import build_domain
from polydiff.domains.audio.config import AudioConfig, AudioData
from polydiff.domains.audio.domain import Audio
from polydiff.model.model import Model
from polydiff.support.errors import UserError

REAL = {"type": "real", "mean": 1.0, "std": 2.0, "values": [1.0]}
VECTORS = {"type": "embedding", "width": 4, "longest": 2, "scale": 1.0}


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("std", 0.0, "std"),
        ("std", -1, "std"),
        ("std", [0.3], "std"),
        ("std", True, "std"),
        ("gains", [1.0], "gains should be none or at least two"),
        ("gains", [1e6] * 33, r"gains\.0"),
        ("gains", ["loud"] * 33, r"gains\.0"),
        ("gains", None, "gains"),
        ("conditions", [], "conditions"),
        ("conditions.pitch", 3, r"conditions\.pitch"),
        ("conditions.pitch.type", "colours", r"conditions\.pitch"),
        ("conditions.pitch.names", list(range(24)), r"conditions\.pitch\.classes\.names\.0"),
        ("conditions.pitch.names", ["C3"] * 24, "names holds a class twice"),
        ("conditions.pitch.counts", [[1]], r"conditions\.pitch\.classes\.counts\.0"),
        ("conditions.pitch.counts", [1], "counts has 1 numbers, but names has 24 classes"),
        ("conditions.pitch.counts.0", -1, r"counts\.0"),
        ("conditions.tempo", {**REAL, "std": 0.0}, r"conditions\.tempo\.real\.std"),
        ("conditions.tempo", {**REAL, "std": -1.0}, r"conditions\.tempo\.real\.std"),
        ("conditions.tempo", {**REAL, "mean": "fast"}, r"conditions\.tempo\.real\.mean"),
        ("conditions.tempo", {**REAL, "values": []}, r"conditions\.tempo\.real\.values"),
        ("conditions.tempo", {**REAL, "values": [[1.0]]}, r"conditions\.tempo\.real\.values\.0"),
        ("conditions.text", {**VECTORS, "scale": 0.0}, r"conditions\.text\.embedding\.scale"),
        ("conditions.text", {**VECTORS, "width": 0}, r"conditions\.text\.embedding\.width"),
        ("conditions.text", {**VECTORS, "longest": 10**12}, "more than an example can hold"),
        ("missing", {"std": 0.0, "gains": []}, r"missing\.std"),
        ("mel", {"definition": {}, "mean": [], "std": 1.0}, r"mel\.definition"),
    ],
)
def test_damaged_statistics_are_one_error(key: str, value: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        Model.load(forged("audio", tmp_path, put(key, value)))


@pytest.mark.parametrize("key", ["std", "gains"])
def test_missing_statistics_are_named(key: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"{key}: field required"):
        Model.load(forged("audio", tmp_path, lambda statistics: statistics.pop(key)))


def vocoder() -> AudioConfig:
    return AudioConfig(task="vocode", data=AudioData(length=1024, n_train=8, n_test=2))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("mel.definition.hop", 10**9), r"mel\.definition\.hop"),
        (put("mel.definition.window", 4), "The hop must be at most the window"),
        (put("mel.definition.high", None), "high is missing"),
        (put("mel.definition.scale", "bark"), r"mel\.definition\.scale"),
        (put("mel.mean", [0.0]), "mean has 1 numbers, but there are 40 bands"),
        (put("mel.std", 0.0), r"mel\.std"),
        (lambda statistics: statistics.pop("mel"), "mel is missing, which the task needs"),
    ],
)
def test_damaged_statistics_of_a_task_are_errors(change: Callable[[dict[str, Any]], object], words: str) -> None:
    statistics = json.loads(json.dumps(dict(Audio(vocoder()).statistics)))
    build_domain(vocoder(), statistics)
    change(statistics)
    with pytest.raises(ValueError, match=words):
        build_domain(vocoder(), statistics)
