"""The tasks for which a network of images can be trained."""

from __future__ import annotations

import torch

from polydiff.contract.tasks import Enlarge, Generate, Inpaint, Task
from polydiff.domains.image.codec import Standardise
from polydiff.domains.image.config import ImageConfig


def open_task(config: ImageConfig, codec: Standardise) -> Task:
    """Return the task of a configuration; the codec gives the range of a pixel in the units of states."""
    match config.task:
        case "generate":
            return Generate()
        case "inpaint":
            return Inpaint(config.data.planes)
        case "upsample":
            low, high = (codec.scaled(torch.tensor([float(end)])).flatten().tolist() for end in (0, 255))
            return Enlarge(config.data.planes, config.data.factor, tuple(low), tuple(high))
