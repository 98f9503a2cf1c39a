"""A learned codec: the autoencoder of another run, between a domain's states and those of a diffusion.

Codes are standardised to mean 0 and standard deviation 1 in each channel, over training examples and with the noise of
the posterior: z' = (z - mean) / std. Both numbers are measured once, kept in the statistics of the run, and applied
here alone.

Symbols: B batch, K channels of a code, x states of the domain, z codes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polydiff.contract.domain import Domain, conditions_of
from polydiff.contract.sections.run import Config
from polydiff.core.conditions import Aligned
from polydiff.core.space import Batch, Euclidean, Space, State
from polydiff.core.streams import streams
from polydiff.encode.codes import CodeSpace, Moments, code_space, has_points, over_channels, set_moments
from polydiff.encode.module import Codes, Encoder, PointCodec
from polydiff.metrics.principal import principal_std, principal_std_of_sets
from polydiff.stages.parts import Part
from polydiff.support.errors import UserError
from polydiff.support.progress import counted

CODEC = "codec"
"""Name of the key, and of what is measured of codes among a run's statistics."""
MEASURED = 4096
"""Largest number of training examples on whose codes mean and standard deviation are measured."""
PRINCIPAL = 1024
"""Largest number of training examples on whose codes the largest principal standard deviation is measured."""
AT_ONCE = 64
"""Examples that are encoded in one call while statistics are measured."""


@dataclass(frozen=True)
class Scale:
    """The scale of codes.

    Arguments:
        mean: Mean of each channel (`polydiff.encode.codes`).
        std: Standard deviation of each channel.
        principal: Largest principal standard deviation of standardised codes.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    principal: float

    @property
    def tensors(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each channel, float64 (C,) each."""
        return torch.tensor(self.mean, dtype=torch.float64), torch.tensor(self.std, dtype=torch.float64)

    def as_json(self) -> dict[str, Any]:
        """Return the scale as JSON, for the statistics of a run."""
        return {"mean": list(self.mean), "std": list(self.std), "principal_std": self.principal}

    @classmethod
    def of_json(cls, found: Mapping[str, Any]) -> Scale:
        """Return the scale that statistics hold."""
        return cls(tuple(found["mean"]), tuple(found["std"]), found["principal_std"])


class LearnedCodec:
    """Encodes states of a domain by a trained autoencoder, and decodes its codes.

    Arguments:
        encoder: The autoencoder, with trained weights, in evaluation mode.
        part: The run that it comes from.
        scale: Scale of its codes; None: codes are not scaled, to measure them.
    """

    def __init__(self, encoder: Encoder, part: Part, scale: Scale | None = None) -> None:
        self.encoder, self.part, self.scale = encoder, part, scale
        self.shapes: dict[tuple[int, ...], tuple[int, ...]] = {}
        self.patches: dict[tuple[int, ...], tuple[int, ...]] = {}

    @torch.no_grad()
    def encode(self, x: Tensor, space: Space, generators: Sequence[torch.Generator] | None) -> tuple[Tensor, Space]:
        """Return standardised codes of states, and their space, on the device of the states.

        Arguments:
            x: States of the domain.
            space: Their space.
            generators: B random streams on the CPU, for draws of the posterior; None: its means.
        """
        codes = self.posterior(x, space)
        return self.standardised(codes, generators).to(x.device), code_space(codes.mean, space)

    @torch.no_grad()
    def posterior(self, x: Tensor, space: Space) -> Codes:
        """Return the codes of states x of a space, not scaled, on its device."""
        return self.encoder.encode(x.to(self.device), space.to(self.device))

    def standardised(self, codes: Codes, generators: Sequence[torch.Generator] | None) -> Tensor:
        """Return standardised codes; arguments as `encode` has and `posterior` returns."""
        z = codes.mean if generators is None else codes.draw(generators)
        if self.scale is not None:
            mean, std = self.scale.tensors
            z = (z - over_channels(mean, z, codes.space)) / over_channels(std, z, codes.space)
        return codes.space.project(z)

    @torch.no_grad()
    def decode(self, z: Tensor, space: Space) -> tuple[State, Space]:
        """Return states, and their space, of standardised codes z of a space, on the device of z."""
        codes, states = space.to(self.device), self.states_of(space)
        code = z.to(self.device, torch.float32)
        if self.scale is not None:
            mean, std = self.scale.tensors
            code = code * over_channels(std, code, codes) + over_channels(mean, code, codes)
        return self.encoder.decode(codes.project(code), states.to(self.device)).to(z.device), states

    def states_of(self, space: Space) -> Space:
        """Return the space of the states that codes of a space decode to."""
        if has_points(space):
            return space.with_features(self.points.channels)
        assert isinstance(space, CodeSpace)
        assert space.states is not None
        return space.states

    def space(self, states: Space) -> Space:
        """Return the space of the codes of states of a space."""
        if has_points(states):
            return states.with_features(self.points.codes)
        assert isinstance(states, Euclidean)
        return CodeSpace(states.batch, self.shape_of(states.shape), states.device, states.dtype, states)

    @torch.no_grad()
    def shape_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the code of a state on a grid of this shape, without batch axes."""
        if shape not in self.shapes:
            one = Euclidean(1, shape, self.device)
            self.shapes[shape] = tuple(
                self.encoder.encode(torch.zeros(one.state_shape, device=self.device), one)[0][0].shape
            )
        return self.shapes[shape]

    @torch.no_grad()
    def patch_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the sides of the patch of a state that one place of its code stands for, one for each axis.

        The place i of a code decodes to the places [i f, (i + 1) f) of a state, f being the side of the patch.

        Arguments:
            shape: Shape of the code, without batch axes.

        Raises:
            UserError: The autoencoder's states are no whole number of patches.
        """
        if shape not in self.patches:
            whole = self.encoder.network.decode(torch.zeros(1, *shape, device=self.device))  # type: ignore[operator]
            pairs = list(zip(whole.shape[2:], shape[1:], strict=True))
            if any(side % places for side, places in pairs):
                raise UserError(f"{self.name}: the places of a code are no patches of the state, so no part is known.")
            self.patches[shape] = tuple(side // places for side, places in pairs)
        return self.patches[shape]

    def known(self, mask: Tensor, states: Euclidean) -> Tensor:
        """Return which places of codes are known, booleans (B, 1, ...): those whose whole patch is known.

        What an encoder pads states with is known.

        Arguments:
            mask: 1 or True where states are known, broadcasting against a state (B, C, ...).
            states: Space of the states.
        """
        code = self.shape_of(states.shape)
        here = (mask != 0).expand(states.state_shape).all(1)
        for axis, (places, side) in enumerate(zip(code[1:], self.patch_of(code), strict=True), start=1):
            missing = places * side - here.shape[axis]
            padding = here.new_ones(*here.shape[:axis], missing, *here.shape[axis + 1 :])
            here = torch.cat([here, padding], axis).unflatten(axis, (places, side)).all(axis + 1)
        return here[:, None]

    @property
    def points(self) -> PointCodec:
        """Its network, which is one of points."""
        return self.encoder.network  # type: ignore[return-value] # not the declared type

    @property
    def name(self) -> str:
        """The key and path that named it, for messages."""
        return self.part.name

    @property
    def statistics(self) -> Mapping[str, Any]:
        """Statistics of the data that it was trained on."""
        return dict(self.part.state["statistics"])

    @property
    def device(self) -> torch.device:
        """Device of the autoencoder."""
        return next(self.encoder.parameters()).device


def measure(domain: Domain, codec: LearnedCodec) -> Scale:
    """Return the scale of the codes of a domain's training examples, evenly spread over them.

    Arguments:
        domain: Gives the examples.
        codec: Encodes them; it has no scale yet.
    """
    size = domain.size("train")
    n = min(size, MEASURED)
    chosen = [i * size // n for i in range(n)]
    moments, kept = list[Moments](), list[tuple[Tensor, Space]]()
    for first in counted("batches encoded", -(-n // AT_ONCE), range(0, n, AT_ONCE)):
        indices = chosen[first : first + AT_ONCE]
        generators = streams(0, "codes", indices)
        x, space, _ = domain.batch("train", indices, generators)
        z, codes = codec.encode(x, space, generators)
        moments.append(Moments.of(z, codes))
        kept += [(z, codes)] if first < PRINCIPAL else []
    found = sum(moments[1:], moments[0])
    standardised = [
        ((z - over_channels(found.mean, z, codes)) / over_channels(found.std, z, codes), codes) for z, codes in kept
    ]
    return Scale(tuple(found.mean.tolist()), tuple(found.std.tolist()), principal_code_std(standardised))


def principal_code_std(parts: Sequence[tuple[Tensor, Space]]) -> float:
    """Return the largest principal standard deviation of codes, given in batches with their spaces."""
    sets = [(codes.project(z).double(), codes) for z, codes in parts if has_points(codes)]
    if not sets:
        return principal_std(torch.cat([z for z, _ in parts]).flatten(1))
    joined = [torch.cat(found) for found in zip(*(set_moments(z, codes) for z, codes in sets), strict=True)]
    return principal_std_of_sets(*joined)


def code_batch(batch: Batch, codec: LearnedCodec, generators: Sequence[torch.Generator] | None) -> Batch:
    """Return a batch with the codes of its states.

    Arguments:
        batch: States of the domain, their space and conditions.
        codec: Encodes the states.
        generators: B random streams of the posterior; None: its means.
    """
    return Batch(*codec.encode(batch.x, batch.space, generators), batch.cond)


def check_replaceable(config: Config, domain: Domain, name: str, what: str) -> None:
    """Raise UserError if the states of a domain cannot be replaced by what another run makes of them.

    Arguments:
        config: The run's configuration.
        domain: The domain.
        name: The other run, for the message.
        what: What it makes, such as "codes".
    """
    for condition, kind in conditions_of(domain).items():
        if isinstance(kind, Aligned):
            raise UserError(f"{name}: the condition {condition} is aligned with states, not with {what}.")
    check_no_augmentation(config, name, what)


def check_no_augmentation(config: Config, name: str, what: str) -> None:
    """Raise UserError if training examples are augmented; arguments as of `check_replaceable`."""
    if getattr(config.data, "augment", 0):
        raise UserError(f"{name}: {what} are not made of augmented examples. Set data.augment=0.")
