"""What a network for images is trained for, by the configuration's `task`."""

from __future__ import annotations

from polydiff.domains.image.config import ImageConfig
from polydiff.tasks import Enlarge, Generate, Inpaint, Task


def open_task(config: ImageConfig) -> Task:
    """Return the task of a configuration."""
    match config.task:
        case "generate":
            return Generate()
        case "inpaint":
            return Inpaint(config.data.planes)
        case "upsample":
            return Enlarge(config.data.planes, config.data.factor)
