"""Encoding and decoding of states for every task, and the spaces that they belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polydiff.contract.tasks.task import Observes
from polydiff.core.condition_batch import blank_conditions
from polydiff.core.conditions import Conditions
from polydiff.core.space import Batch, Euclidean, Space, State
from polydiff.core.streams import streams
from polydiff.core.units import Units
from polydiff.domains.audio.codec import Standardise
from polydiff.domains.audio.config import AudioConfig
from polydiff.domains.audio.data.inputs import bridged, read_sounds
from polydiff.domains.audio.tasks.open_task import FromFiles, read_conditions
from polydiff.domains.audio.tasks.restoration import Missing, Upsample
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides


@dataclass(frozen=True)
class States:
    """Conversion between sounds and states.

    Arguments:
        config: The run's configuration.
        codec: Codec between sounds and states of unit variance.
        task: The training task; upsampling has its own space, `Missing`.
    """

    config: AudioConfig
    codec: Standardise
    task: Observes

    def space(self, n: int, length: int | None = None) -> Euclidean:
        """Return the space of n clips of `length` samples; None: the length of training."""
        data = self.config.data
        return Euclidean(n, (data.channels, length or data.length))

    def placed(self, encoded: Tensor, known: Mapping[str, Tensor]) -> tuple[State, Euclidean]:
        """Return the states of encoded sounds and their space, which may depend on the task's conditions."""
        if isinstance(self.task, Upsample):
            missing = self.task.space(known)
            return missing.encode(encoded), missing
        return encoded, self.space(len(encoded), encoded.shape[-1])

    def batch(
        self,
        sounds: Tensor,
        metadata: Mapping[str, Tensor],
        generators: Sequence[torch.Generator],
        training: bool = False,
    ) -> Batch:
        """Return a batch of clean states with the data's and the task's conditions.

        Arguments:
            sounds: Shape (B, C, T).
            metadata: Name of a condition of the data -> tensor (B, ...).
            generators: One for each sound, for the random parts of the task.
            training: Whether recordings have the noise of training (`data.noise`).
        """
        encoded = self.codec.encode(sounds)
        known = self.task.observe(encoded, generators)
        if training and isinstance(self.task, Upsample) and self.task.noise:
            known = self.task.disturbed(known, self.task.noise.draw(generators), generators)
        x, space = self.placed(encoded, known)
        return Batch(x, space, {**metadata, **known} or None)

    def encode(self, sounds: Tensor) -> Batch:
        """Return sounds (B, C, T) as clean states, with the conditions of the task that its space depends on."""
        encoded = self.codec.encode(sounds)
        numbers = range(len(sounds))
        known = self.task.observe(encoded, streams(0, "read", numbers)) if isinstance(self.task, Upsample) else {}
        x, space = self.placed(encoded, known)
        return Batch(x, space, known or None)

    def read(self, paths: Sequence[Path], conditions: Conditions) -> Batch:
        """Return the user's files as clean states; the conditions of the data are absent."""
        sounds = read_sounds(paths, self.config.data)
        batch = self.encode(sounds)
        blank = blank_conditions(conditions, len(sounds), sounds.shape[2:])
        return Batch(batch.x, batch.space, {**blank, **(batch.cond or {})} or None)

    def read_degraded(self, paths: Sequence[Path], conditions: Conditions, degrade: bool) -> Batch:
        """Return recordings or mel spectrograms as conditions, with the states of the baseline.

        Arguments:
            paths: Files of one length.
            conditions: Kinds of all conditions of the network; those of the data are absent.
            degrade: Whether the files are full recordings, to be degraded first.

        Raises:
            UserError: The task has no degraded form, or a file cannot be read.
        """
        if not provides(self.task, FromFiles):
            raise UserError(
                f"The model was trained with task={self.config.task}, which reads neither recordings at a low rate "
                "nor mel spectrograms. Use a run of task=upsample or task=vocode."
            )
        known, length = read_conditions(self.task, paths, degrade)
        x = self.task.guess(known, (length,))
        space = self.task.space(known) if isinstance(self.task, Upsample) else self.space(len(x), length)
        return Batch(x, space, blank_conditions(conditions, len(x), x.shape[2:]) | known)

    def forget(self, x: State, mask: Tensor) -> State:
        """Return states (B, C, T) without information on the masked samples.

        The filter of the codec spreads each sample over a few milliseconds. Masked samples are therefore replaced by
        straight lines before encoding.
        """
        if not self.codec.gains:
            return x
        return self.codec.encode(bridged(self.codec.decode(x), mask))

    def units(self, x: State, space: Space) -> Units:
        """Return the units of likelihoods: those of sounds with full scale 1."""
        gain = space.log_volume if isinstance(space, Missing) else 0
        assert isinstance(space, Euclidean)
        volume = torch.full((space.batch,), self.codec.log_volume(space.shape), device=x.device)
        return Units(None, None, volume + gain, "full scale")

    def decode(self, x: State, space: Space) -> list[Any]:
        """Return the sounds (C, T) of states (B, C, T)."""
        whole = space.decode(x.float()) if isinstance(space, Missing) else x.float()
        return list(self.codec.decode(whole).unbind())
