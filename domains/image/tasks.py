"""The tasks for which a network of images can be trained."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from polydiff.contract.following import NoiseAugmentation
from polydiff.contract.tasks import Enlarge, Generate, Inpaint, Task, block_means
from polydiff.core.space import State
from polydiff.domains.image.codec import Standardise
from polydiff.domains.image.config import ImageConfig
from polydiff.domains.image.data.source import shrunk


def open_task(config: ImageConfig, codec: Standardise) -> Task:
    """Return the task of a configuration; the codec gives the range of a pixel in the units of states."""
    match config.task:
        case "generate":
            return Generate()
        case "inpaint":
            return Inpaint(config.data.planes)
        case "upsample":
            low, high = (codec.scaled(torch.tensor([float(end)])).flatten().tolist() for end in (0, 255))
            task = Enlarge(config.data.planes, config.data.factor, tuple(low), tuple(high))
            return with_noise(task, codec, NoiseAugmentation(*config.data.noise)) if config.data.noise else task


def with_noise(task: Enlarge, codec: Standardise, noise: NoiseAugmentation) -> Enlarge:
    """Return the task with noise on small images that are rounded, as those that an earlier stage draws are."""

    def reduce(x: State) -> Tensor:
        if any(size % task.factor for size in x.shape[2:]):  # a user's own image, whose last blocks are smaller
            return block_means(x, task.factor)
        return codec.encode(shrunk(codec.decode(x), task.factor))

    return replace(task, noise=noise, reduce=reduce)
