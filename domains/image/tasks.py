"""The tasks for which a network of images can be trained."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from polydiff.contract.following import NoiseAugmentation
from polydiff.contract.tasks.enlarge import Enlarge, block_means
from polydiff.contract.tasks.inpaint import Inpaint, InpaintLetters
from polydiff.contract.tasks.task import Generate, Observes
from polydiff.core.space import State
from polydiff.domains.image.codec import Standardise
from polydiff.domains.image.config import ImageConfig
from polydiff.domains.image.data.source import shrunk
from polydiff.domains.image.greys import Greys
from polydiff.parts.known import check_open_letters
from polydiff.support.errors import UserError


def open_task(config: ImageConfig, codec: Standardise, greys: Greys | None = None) -> Observes:
    """Return the task of a configuration.

    Arguments:
        config: The configuration.
        codec: Gives the range of a pixel in the units of states.
        greys: The letters, if states are letters; None: states are real numbers.

    Raises:
        UserError: The process of letters does not have the task.
    """
    if greys is not None:
        return open_task_of_letters(config, greys)
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


def open_task_of_letters(config: ImageConfig, greys: Greys) -> Observes:
    """Return the task of a configuration whose states are letters; errors as of `open_task`."""
    match config.task:
        case "generate":
            return Generate()
        case "inpaint":
            check_open_letters(config.process)
            usual = max(range(len(greys.values)), key=greys.frequencies.__getitem__)
            return InpaintLetters(len(greys.values), 2, config.data.planes, usual)
        case "upsample":
            raise UserError(f"task=upsample: process={config.process} has the tasks generate and inpaint alone.")
