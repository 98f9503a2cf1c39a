"""What a network for waveforms is trained for, by the configuration's `task`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from polydiff.contract.tasks import Generate, Inpaint, Restoration, Task
from polydiff.domains.audio.codec import Standardise
from polydiff.domains.audio.config import AudioConfig
from polydiff.support.errors import UserError


class FromFiles(Restoration, Protocol):
    """A task that is told files."""

    def read(self, path: Path, degrade: bool = False) -> tuple[dict[str, Tensor], int]:
        """Return what the network is told of one file, and the length of what is made of it, in samples."""


def read_told(task: FromFiles, paths: Sequence[Path], degrade: bool) -> tuple[dict[str, Tensor], int]:
    """Return what the network is told of files, and their common length; one of another length is a `UserError`."""
    parts = [task.read(path, degrade) for path in paths]
    length = parts[0][1]
    for path, (_, other) in zip(paths, parts, strict=True):
        if other != length:
            raise UserError(
                f"{path} gives {other} samples, {paths[0]} {length}. Read files of different lengths one at a time."
            )
    return {name: torch.cat([told[name] for told, _ in parts]) for name in task.conditions}, length


def open_task(config: AudioConfig, codec: Standardise, statistics: Mapping[str, Any]) -> Task:
    """Return the task of a configuration; states are those that the codec gives.

    Arguments:
        config: The configuration.
        codec: Of the states.
        statistics: What `measure_task` returned.
    """
    match config.task:
        case "generate":
            return Generate()
        case "inpaint":
            return Inpaint(config.data.channels)
        case "upsample":
            from polydiff.domains.audio.tasks.restoration import Upsample

            told = statistics["missing"]
            return Upsample(config.data, codec, Standardise(told["std"], tuple(told["gains"])))
        case "vocode":
            from polydiff.domains.audio.tasks.mel import Mel, Scale
            from polydiff.domains.audio.tasks.restoration import Vocode

            told = statistics["mel"]
            return Vocode(config.data, codec, Mel(**told["definition"]), Scale(tuple(told["mean"]), told["std"]))


def measure_task(config: AudioConfig, clips: Tensor) -> dict[str, Any]:
    """Return what a task measures on training clips (N, C, T), as JSON: for upsampling, how
    strong what is missing is; for a vocoder, the definition of its spectrogram and its scale."""
    if config.task == "upsample":
        from polydiff.domains.audio.tasks.restoration import Upsample

        return {"missing": asdict(Upsample(config.data, Standardise(1.0)).measure(clips))}
    if config.task != "vocode":
        return {}
    from polydiff.domains.audio.tasks.mel import Mel, Scale

    mel = Mel.of(config.data)
    scale = Scale.measure(mel(clips), mel.bands)
    return {"mel": {"definition": asdict(mel), "mean": list(scale.mean), "std": scale.std}}
