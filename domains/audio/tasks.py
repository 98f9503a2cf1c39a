"""What a network for waveforms is trained for, by the configuration's `task`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from torch import Tensor

from polydiff.domains.audio.codec import Standardise
from polydiff.domains.audio.config import AudioConfig
from polydiff.tasks import Generate, Inpaint, Task


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
            from polydiff.domains.audio.restore import Upsample

            return Upsample(config.data, codec)
        case "vocode":
            from polydiff.domains.audio.mel import Mel, Scale
            from polydiff.domains.audio.restore import Vocode

            told = statistics["mel"]
            return Vocode(config.data, codec, Mel(**told["definition"]), Scale(tuple(told["mean"]), told["std"]))


def measure_task(config: AudioConfig, clips: Tensor) -> dict[str, Any]:
    """Return what a task measures on training clips (N, C, T), as JSON: of a vocoder, its spectrogram and its scale."""
    if config.task != "vocode":
        return {}
    from polydiff.domains.audio.mel import Mel, Scale

    mel = Mel.of(config.data)
    scale = Scale.measure(mel(clips), mel.bands)
    return {"mel": {"definition": asdict(mel), "mean": list(scale.mean), "std": scale.std}}
