"""How a stage that raises the sample rate follows the stage that draws sounds of the low rate."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from polydiff.contract.domain import Samples
from polydiff.contract.following import check_level
from polydiff.contract.sections.run import Config
from polydiff.contract.tasks.task import Task
from polydiff.core.conditions import Condition
from polydiff.domains.audio.config import AudioConfig, AudioData
from polydiff.domains.audio.tasks.low_rate import ratio
from polydiff.domains.audio.tasks.restoration import Upsample
from polydiff.support.errors import UserError


def low_length(data: AudioData) -> int:
    """Return the samples that a clip has at the low rate."""
    p, q = ratio(data.sample_rate, data.given_rate)
    return -(-data.length * q // p)


def misfit(config: AudioConfig, earlier: Config) -> str | None:
    """Return why a stage cannot upsample the sounds of another (`polydiff.contract.following.Fits`); None if it can.

    Arguments:
        config: Configuration of the stage that upsamples.
        earlier: Configuration of the other stage, which may work in codes.
    """
    if config.task != "upsample":
        return f"it has task={config.task}; a stage that follows another needs task=upsample"
    if not isinstance(earlier, AudioConfig):
        return f"it upsamples sounds, and the earlier stage draws examples of the domain {earlier.domain}"
    ours, theirs = config.data, earlier.data
    if theirs.channels != ours.channels:
        return (
            f"it upsamples sounds of {ours.channels} channels, and the earlier stage draws sounds of {theirs.channels}"
        )
    if theirs.sample_rate != ours.given_rate:
        return (
            f"it upsamples {ours.given_rate} to {ours.sample_rate} Hz, and the earlier stage draws sounds of "
            f"{theirs.sample_rate} Hz. Train this one with data.low_rate={theirs.sample_rate}, or the earlier one with "
            f"data.sample_rate={ours.given_rate}"
        )
    if theirs.length != low_length(ours):
        return (
            f"it upsamples clips of {low_length(ours)} to {ours.length} samples, and the earlier stage draws "
            f"{theirs.length}. Train the earlier one with data.length={low_length(ours)}"
        )
    return None


def follow(task: Task, samples: Samples, generators: Sequence[torch.Generator], level: float) -> Condition:
    """Return sounds of the low rate as conditions of a stage that upsamples them.

    Arguments:
        task: Task of this stage; its codec standardises the sounds by its own statistics, not by those of their stage.
        samples: B sounds of the low rate, float32 (C, T) each.
        generators: B random streams for the noise.
        level: Standard deviation of the noise, where sounds have the standard deviation 1.

    Raises:
        UserError: The stage upsamples nothing, the sounds have another length, or the level is not one of training.
    """
    if not isinstance(task, Upsample):
        raise UserError("Only a stage of task=upsample follows another stage of sounds.")
    check_level(level, task.noise)
    expected = (task.data.channels, low_length(task.data))
    for sound in samples.examples:
        if tuple(sound.shape) != expected:
            raise UserError(f"The sounds have the shape {tuple(sound.shape)}; this stage upsamples {expected}.")
    observed = task.at_low_rate(torch.stack(list(samples.examples)))
    if not level:
        return observed
    return task.disturbed(observed, torch.full((len(samples),), level), generators)
