"""The tasks for which a network of images can be trained."""

from __future__ import annotations

from polydiff.contract.tasks import Enlarge, Generate, Inpaint, Task
from polydiff.domains.image.config import ImageConfig


def open_task(config: ImageConfig) -> Task:
    """Return the task of a configuration."""
    match config.task:
        case "generate":
            return Generate()
        case "inpaint":
            return Inpaint(config.data.planes)
        case "upsample":
            return Enlarge(config.data.planes, config.data.factor)
