"""What a network for images is trained for, by the configuration's `task`."""

from __future__ import annotations

from polydiff.domains.image.config import ImageConfig
from polydiff.tasks import Generate, Inpaint, Task


def open_task(config: ImageConfig) -> Task:
    """Return the task of a configuration."""
    return Inpaint(config.data.planes) if config.task == "inpaint" else Generate()
