"""States of images: real numbers of unit variance, or letters, with the task's conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from polydiff.backbones.letters import OneHot, one_hot_channels
from polydiff.contract.backbone import build_backbone
from polydiff.contract.tasks.enlarge import Enlarge
from polydiff.contract.tasks.task import Observes
from polydiff.core.condition_batch import blank_conditions
from polydiff.core.conditions import Conditions
from polydiff.core.parts.letters import LettersSpace
from polydiff.core.space import Batch, Euclidean, Space, State
from polydiff.core.units import Units
from polydiff.domains.image.codec import Standardise
from polydiff.domains.image.config import ImageConfig
from polydiff.domains.image.data.inputs import read_images, read_whole
from polydiff.domains.image.data.warp import NUMBERS
from polydiff.domains.image.greys import Greys
from polydiff.support.errors import UserError


@dataclass(frozen=True)
class States:
    """Conversion between images and states.

    Arguments:
        config: The run's configuration.
        codec: Codec between images and states of unit variance.
        task: The training task.
        greys: The letters, if states are letters; None: states are real numbers.
    """

    config: ImageConfig
    codec: Standardise
    task: Observes
    greys: Greys | None = None

    def encode(self, images: Tensor) -> State:
        """Return the states of images uint8 (B, C, H, W)."""
        return self.codec.encode(images) if self.greys is None else self.greys.encode(images)

    def decode(self, x: State) -> list[Any]:
        """Return the images uint8 (C, H, W) of states (B, C, H, W)."""
        return list((self.codec if self.greys is None else self.greys).decode(x).unbind())

    def space(self, n: int) -> Space:
        """Return the space of n images of the trained size."""
        data = self.config.data
        shape = (data.planes, data.side, data.side)
        return Euclidean(n, shape) if self.greys is None else LettersSpace(n, shape, len(self.greys.values))

    def batch(
        self,
        images: Tensor,
        metadata: Mapping[str, Tensor],
        generators: Sequence[torch.Generator],
        training: bool = False,
    ) -> Batch:
        """Return a batch of clean states with the data's and the task's conditions.

        Arguments:
            images: uint8, (B, C, S, S).
            metadata: Name of a condition of the data -> tensor (B, ...).
            generators: One for each image, for the random parts of the task.
            training: Whether small images have the noise of training (`data.noise`).
        """
        x = self.encode(images)
        known = self.task.observe(x, generators)
        if training and isinstance(self.task, Enlarge) and self.task.noise:
            known = self.task.disturbed(known, self.task.noise.draw(generators), generators)
        return Batch(x, self.space(len(x)), {**metadata, **known} or None)

    def read(self, paths: Sequence[Path], conditions: Conditions) -> Batch:
        """Return the middle squares of files as clean states; all conditions are absent."""
        images = read_images(paths, self.config.data)
        side = self.config.data.side
        nothing = blank_conditions(conditions, len(images), (side, side))
        return Batch(self.encode(images), self.space(len(images)), nothing or None)

    def read_degraded(self, paths: Sequence[Path], conditions: Conditions, degrade: bool) -> Batch:
        """Return whole images as the task's condition, with the states of the baseline.

        Arguments:
            paths: Files of one size.
            conditions: Kinds of all conditions of the network; those of the data are absent.
            degrade: Whether the files are large images, to be reduced first.
        """
        if not isinstance(self.task, Enlarge):
            raise UserError(f"task={self.config.task} reads no files of another form.")
        factor = self.task.factor
        images = self.codec.encode(read_whole(paths, self.config.data))
        known = self.task.observe(images, []) if degrade else self.task.observed(images)
        sizes = [size * (1 if degrade else factor) for size in images.shape[2:]]
        x = self.task.guess(known, sizes)
        space = Euclidean(len(x), (self.config.data.planes, *sizes))
        return Batch(x, space, blank_conditions(conditions, len(x), sizes) | known)

    def units(self, x: State, space: Space, levels: Sequence[int]) -> Units:
        """Return the units of likelihoods: the bin of each pixel, between the levels that pixels have, or its letter.

        Arguments:
            x: Clean states, (B, C, S, S).
            space: Their space.
            levels: Values that pixels of the data have, ascending.
        """
        if self.greys is not None:
            return Units(x - 0.5, x + 0.5, torch.zeros(space.batch))
        low, high = self.codec.bins(x, torch.tensor(levels, dtype=torch.float64))
        return Units(low, high, torch.zeros(space.batch))

    def backbone(self, conditions: Conditions) -> nn.Module:
        """Build the network of states with these conditions."""
        planes, letters = self.config.data.planes, len(self.greys.values) if self.greys else 0
        channels = one_hot_channels(letters, planes) if letters else planes
        augment = NUMBERS if self.config.data.augment else 0
        network = build_backbone(
            self.config.backbone, conditions=conditions, channels=channels, dims=2, augment=augment
        )
        return OneHot(network, letters, 2) if letters else network
