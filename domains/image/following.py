"""How a stage that enlarges images follows the stage that draws the small ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from polydiff.contract.domain import Samples
from polydiff.contract.following import check_level
from polydiff.contract.sections.run import Config
from polydiff.contract.tasks.enlarge import Enlarge
from polydiff.contract.tasks.task import Task
from polydiff.core.conditions import Condition
from polydiff.domains.image.codec import Standardise
from polydiff.domains.image.config import ImageConfig
from polydiff.support.errors import UserError


def misfit(config: ImageConfig, earlier: Config) -> str | None:
    """Return why a stage cannot enlarge the images of another (`polydiff.contract.following.Fits`); None if it can.

    Arguments:
        config: Configuration of the stage that enlarges.
        earlier: Configuration of the other stage, which may work in codes.
    """
    if config.task != "upsample":
        return f"it has task={config.task}; a stage that follows another needs task=upsample"
    if not isinstance(earlier, ImageConfig):
        return f"it enlarges images, and the earlier stage draws those of the domain {earlier.domain}"
    ours, theirs = config.data, earlier.data
    small = ours.side // ours.factor
    if theirs.planes != ours.planes:
        return f"it enlarges images of {ours.planes} channels, and the earlier stage draws images of {theirs.planes}"
    if theirs.side != small:
        return (
            f"it enlarges {small} x {small} to {ours.side} x {ours.side} pixels, and the earlier stage draws "
            f"{theirs.side} x {theirs.side}. Train the earlier stage with data.size={ours.square} "
            f"data.shrink={ours.shrink * ours.factor}, or this one with another data.size or data.factor"
        )
    return None


def follow(
    config: ImageConfig,
    task: Task,
    codec: Standardise,
    samples: Samples,
    generators: Sequence[torch.Generator],
    level: float,
) -> Condition:
    """Return small images as conditions of a stage that enlarges them.

    Arguments:
        config: Configuration of the stage that enlarges.
        task: Its task.
        codec: Codec of its states; the images are standardised by its statistics, not by those of their own stage.
        samples: B small images, uint8 (C, S, S) each.
        generators: B random streams for the noise.
        level: Standard deviation of the noise, in units of the states.

    Raises:
        UserError: The stage enlarges nothing, the images have another size, or the level is not one of training.
    """
    if not isinstance(task, Enlarge):
        raise UserError(f"task={config.task} follows no other stage; task=upsample does.")
    check_level(level, task.noise)
    small = config.data.side // task.factor
    expected = (task.channels, small, small)
    for image in samples.examples:
        if tuple(image.shape) != expected:
            raise UserError(f"The small images have the shape {tuple(image.shape)}; this stage enlarges {expected}.")
    observed = task.observed(codec.encode(torch.stack(list(samples.examples))))
    if not level:
        return observed
    return task.disturbed(observed, torch.full((len(samples),), level), generators)
