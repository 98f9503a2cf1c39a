"""The training task of a configuration's `task`, and its statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from polydiff.contract.tasks.inpaint import Inpaint
from polydiff.contract.tasks.task import Generate, Observes, Restoration
from polydiff.domains.audio.codec import Standardise
from polydiff.domains.audio.config import AudioConfig
from polydiff.support.errors import UserError


class FromFiles(Restoration, Protocol):
    """A task whose conditions can be read from files."""

    def read(self, path: Path, degrade: bool = False) -> tuple[dict[str, Tensor], int]:
        """Return the task's conditions (1, ...) from one file, and the length of the restored sound in samples."""


def read_conditions(task: FromFiles, paths: Sequence[Path], degrade: bool) -> tuple[dict[str, Tensor], int]:
    """Return the task's conditions (B, ...) from files, and the common length of the restored sounds in samples.

    Raises:
        UserError: A file cannot be read, or gives another length than the first.
    """
    parts = [task.read(path, degrade) for path in paths]
    length = parts[0][1]
    for path, (_, other) in zip(paths, parts, strict=True):
        if other != length:
            raise UserError(
                f"{path} gives {other} samples, {paths[0]} {length}. Read files of different lengths one at a time."
            )
    return {name: torch.cat([observed[name] for observed, _ in parts]) for name in task.conditions}, length


def open_task(config: AudioConfig, codec: Standardise, statistics: Mapping[str, Any]) -> Observes:
    """Return the task of a configuration.

    Arguments:
        config: The configuration.
        codec: The codec of the states.
        statistics: The result of `measure_task`.
    """
    match config.task:
        case "generate":
            return Generate()
        case "inpaint":
            return Inpaint(config.data.channels)
        case "upsample":
            from polydiff.domains.audio.tasks.restoration import Upsample

            missing = needed(statistics, "missing")
            return Upsample(config.data, codec, Standardise(missing["std"], tuple(missing["gains"])))
        case "vocode":
            from polydiff.domains.audio.tasks.mel import Mel, Scale
            from polydiff.domains.audio.tasks.restoration import Vocode

            mel = needed(statistics, "mel")
            return Vocode(config.data, codec, Mel(**mel["definition"]), Scale(tuple(mel["mean"]), mel["std"]))


def needed(statistics: Mapping[str, Any], name: str) -> Any:
    """Return a statistic that a task needs; ValueError if it is missing."""
    if statistics.get(name) is None:
        raise ValueError(f"{name} is missing, which the task needs")
    return statistics[name]


def measure_task(config: AudioConfig, clips: Tensor) -> dict[str, Any]:
    """Return the statistics of a task on training clips (N, C, T), as JSON.

    Upsampling measures the level and spectrum of the missing part; vocoding stores the definition and the scale of its
    mel spectrogram. The other tasks measure nothing.
    """
    if config.task == "upsample":
        from polydiff.domains.audio.tasks.restoration import Upsample

        missing = Upsample(config.data, Standardise(1.0)).measure(clips)
        return {"missing": {"std": missing.std, "gains": list(missing.gains)}}
    if config.task != "vocode":
        return {}
    from polydiff.domains.audio.tasks.mel import Mel, Scale

    mel = Mel.of(config.data)
    scale = Scale.measure(mel(clips), mel.bands)
    return {"mel": {"definition": asdict(mel), "mean": list(scale.mean), "std": scale.std}}
