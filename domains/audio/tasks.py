"""What a network for waveforms is trained for, by the configuration's `task`."""

from __future__ import annotations

from polydiff.domains.audio.codec import Standardise
from polydiff.domains.audio.config import AudioConfig
from polydiff.errors import UserError
from polydiff.tasks import Generate, Inpaint, Task


def open_task(config: AudioConfig, codec: Standardise) -> Task:
    """Return the task of a configuration; states are those that the codec gives."""
    match config.task:
        case "generate":
            return Generate()
        case "inpaint":
            return Inpaint(config.data.channels)
    raise UserError(f"task={config.task} is not there yet.")
