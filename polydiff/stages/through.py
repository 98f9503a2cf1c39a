"""A domain seen through a learned codec: its states are codes, its examples stay what they are.

Training, samplers, judges and reports use it as any other domain. What concerns examples (judges, files, pictures,
conditions) is the domain's own; what concerns states goes through the codec. Abilities of the domain that concern its
states, and that have no meaning for codes, are withheld.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from polydiff.contract.abilities import HasSizes, Prepares
from polydiff.contract.backbone import build_backbone
from polydiff.contract.data.noise_range import suited_range
from polydiff.contract.domain import Domain
from polydiff.contract.editing import Reads
from polydiff.contract.likeness import Encodes
from polydiff.contract.sections.run import Config
from polydiff.core.conditions import Condition
from polydiff.core.space import Batch, Euclidean, Space, State
from polydiff.encode.codes import CodeSpace, channels_and_dims, has_points
from polydiff.encode.module import Codes
from polydiff.stages.cached import Posteriors, posteriors
from polydiff.stages.codec import CODEC, LearnedCodec, Scale, check_replaceable, code_batch, measure
from polydiff.stages.network import network_of_codes
from polydiff.support.errors import UserError
from polydiff.support.protocols import Forwards, provides

PLANES = 3
"""Axes of a code of an image: channels, height and width."""
ABOVE = 0.1
"""Share of the training levels above the largest principal standard deviation of codes of images. With the share of
other data, about a hundredth, things of scenes often have wrong places."""


class Through(Forwards):
    """A domain whose states are the codes of a codec.

    Arguments:
        config: The run's configuration.
        domain: The domain, with the statistics that the codec was trained with.
        codec: Encodes its states.
        scale: Scale of the codes, from the statistics of a checkpoint; None: measured on training examples.
    """

    __wrapped__: Domain
    units = region = read_mask = measurement = read_measured = grown = forget = read_degraded = sizes = inspect = None
    blanks = part_masks = None
    """Abilities of the domain that concern its states (`polydiff.contract.abilities`)."""

    def __init__(self, config: Config, domain: Domain, codec: LearnedCodec, scale: Scale | None = None) -> None:
        self.config, self.__wrapped__, self.codec = config, domain, codec
        check_replaceable(config, domain, codec.name, "codes")
        codec.scale = scale or measure(domain, codec)
        self.statistics: Mapping[str, Any] = {**domain.statistics, CODEC: codec.scale.as_json()}
        self.posteriors: Posteriors | None = None
        if has_points(self.space) and provides(domain, HasSizes):
            self.sizes = domain.sizes  # a code has as many points as its state
        self.withdraw(read=Reads, encode=Encodes)

    def batch(self, split: str, indices: Sequence[int], generators: Sequence[torch.Generator]) -> Batch:
        """Return the codes of examples of a split, each a draw of the posterior by the generator of its example."""
        batch = self.__wrapped__.batch(split, indices, generators)
        if split != "train" or self.posteriors is None:
            return code_batch(batch, self.codec, generators)
        codes = Codes(*self.posteriors.rows(indices), self.codec.space(batch.space))
        return batch._replace(x=self.codec.standardised(codes, generators), space=codes.space)

    def prepare(self) -> None:
        """Compute the codes that training reads, or find them in the cache (`abilities.Prepares`).

        With `train.codes=cache`, batches are those of `train.codes=draw` but for rounding: an example's generator draws
        what it draws without the cache, and then its code.
        """
        if provides(self.__wrapped__, Prepares):
            self.__wrapped__.prepare()
        if self.config.train.codes == "cache" and self.posteriors is None:
            self.posteriors = posteriors(self.config, self.__wrapped__, self.codec)

    def blank(
        self, generators: Sequence[torch.Generator], requested: Mapping[str, Any]
    ) -> tuple[Space, Condition | None]:
        """Return the space of new codes and their conditions (`polydiff.contract.domain.Domain.blank`)."""
        space, cond = self.__wrapped__.blank(generators, requested)
        return self.codec.space(space), cond

    def read(self, paths: Sequence[Path]) -> Batch:
        """Return the codes of the user's own files (`polydiff.contract.abilities.Reads`)."""
        assert provides(self.__wrapped__, Reads)
        return code_batch(self.__wrapped__.read(paths), self.codec, None)

    def encode(self, examples: Sequence[Any]) -> Batch:
        """Return the codes of examples (`polydiff.contract.likeness.Encodes`)."""
        assert provides(self.__wrapped__, Encodes)
        return code_batch(self.__wrapped__.encode(examples), self.codec, None)

    @property
    def whole(self) -> Domain:
        """The domain whose states are whole examples. It reads files, names regions and reads masks for `inpaint`."""
        return self.__wrapped__

    def known(self, given: Batch, mask: Tensor) -> tuple[Batch, Tensor]:
        """Return the codes of states of which a part is known, and which of these codes are known.

        Unknown numbers are replaced by 0, the mean of the data, before they are encoded, so codes hold no information
        on them. A code is known where its whole patch is (`LearnedCodec.known`). An encoder sees beyond a patch, so a
        known code near unknown ones is an approximation of that of the whole example.

        Arguments:
            given: Clean states of `whole`, (B, C, ...).
            mask: 1 or True where they are known, broadcasting against them.

        Returns:
            Codes (B, K, ...) with their space, and booleans (B, 1, ...).

        Raises:
            UserError: States are molecules.
        """
        if not isinstance(given.space, Euclidean):
            raise UserError(
                f"{self.codec.name}: the code of an atom depends on all atoms of its molecule, so no part of codes is "
                "known. Complete molecules with a run without codec."
            )
        codes = code_batch(given._replace(x=torch.where(mask != 0, given.x, 0.0)), self.codec, None)
        return codes, self.codec.known(mask, given.space)

    def backbone(self) -> nn.Module:
        """Build the network of codes."""
        channels, dims = channels_and_dims(self.space)
        return build_backbone(
            self.config.backbone, channels=channels, dims=dims, conditions=self.__wrapped__.conditions
        )

    def decode(self, x: State, space: Space) -> list[Any]:
        """Return codes as examples of the domain."""
        return self.__wrapped__.decode(*self.codec.decode(x, space))

    def suited(self, free: Collection[str]) -> Mapping[str, Any]:
        """Return the network and the noise range that suit the codes (`polydiff.contract.abilities.SuitsData`).

        Keys of the network that belong together are left out if the user set one of them.
        """
        assert self.codec.scale is not None
        shape = self.space.shape if isinstance(self.space, CodeSpace) else ()
        groups = network_of_codes(self.config.backbone.name, self.config.preset, shape) if shape else []
        network = {key: value for group in groups if group.keys() <= set(free) for key, value in group.items()}
        above = ABOVE if len(shape) == PLANES else None
        return {**network, **suited_range(self.config, self.codec.scale.principal, free, above)}

    @property
    def space(self) -> Space:
        """Space of one code."""
        return self.blank([torch.Generator()], {})[0]
