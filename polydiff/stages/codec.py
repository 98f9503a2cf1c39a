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

from polydiff.contract.domain import Domain
from polydiff.core.space import Batch, Euclidean, normal
from polydiff.core.streams import Device, streams
from polydiff.encode.module import Encoder, draw
from polydiff.metrics.principal import principal_std
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
class CodeSpace(Euclidean):
    """The space of the codes of states: R^shape, with the space of the states.

    Arguments:
        states: Space of the states that the codes decode to.
    """

    states: Euclidean | None = None

    def to(self, device: Device) -> CodeSpace:
        states = None if self.states is None else self.states.to(device)
        return CodeSpace(self.batch, self.shape, device, self.dtype, states)

    def repeat(self, n: int) -> CodeSpace:
        states = None if self.states is None else self.states.repeat(n)
        return CodeSpace(n * self.batch, self.shape, self.device, self.dtype, states)


@dataclass(frozen=True)
class Scale:
    """The scale of codes.

    Arguments:
        mean: Mean of each channel, K numbers.
        std: Standard deviation of each channel, K numbers.
        principal: Largest principal standard deviation of standardised codes.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    principal: float

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
    def encode(self, x: Tensor, generators: Sequence[torch.Generator] | None) -> Tensor:
        """Return standardised codes (B, K, ...) of states x (B, C, ...), on the device of x.

        Arguments:
            x: States of the domain.
            generators: B random streams on the CPU, for draws of the posterior; None: its means.
        """
        return self.standardised(*self.posterior(x), generators).to(x.device)

    @torch.no_grad()
    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the codes of states x (B, C, ...), not scaled, on its device."""
        mean, log_variance = self.encoder.encode(x.to(self.device))
        return mean, log_variance

    def standardised(self, mean: Tensor, log_variance: Tensor, generators: Sequence[torch.Generator] | None) -> Tensor:
        """Return standardised codes (B, K, ...) of posteriors; arguments as `encode` has and `posterior` returns."""
        z = mean
        if generators is not None:
            z = draw(mean, log_variance, normal(generators, mean.shape[1:]).to(mean))
        if self.scale is not None:
            z = (z - self.offset(self.scale.mean, z)) / self.offset(self.scale.std, z)
        return z

    @torch.no_grad()
    def decode(self, z: Tensor, states: Euclidean) -> Tensor:
        """Return states of a space from standardised codes z (B, K, ...), on the device of z."""
        code = z.to(self.device, torch.float32)
        if self.scale is not None:
            code = code * self.offset(self.scale.std, code) + self.offset(self.scale.mean, code)
        return self.encoder.decode(code, states.shape[1:]).to(z.device)

    def space(self, states: Euclidean) -> CodeSpace:
        """Return the space of the codes of these states."""
        if not isinstance(states, Euclidean):
            raise UserError(f"{self.name}: examples of several sizes, such as molecules, have no such codes.")
        shape = self.shape_of(states.shape)
        return CodeSpace(states.batch, shape, states.device, states.dtype, states)

    @torch.no_grad()
    def shape_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the code of a state of this shape, without batch axes."""
        if shape not in self.shapes:
            code, _ = self.encoder.encode(torch.zeros(1, *shape, device=self.device))
            self.shapes[shape] = tuple(code.shape[1:])
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

    @staticmethod
    def offset(numbers: Sequence[float], like: Tensor) -> Tensor:
        """Return one number for each channel, shaped to broadcast against codes (B, K, ...)."""
        return like.new_tensor(numbers).reshape(-1, *(1 for _ in like.shape[2:]))


def measure(domain: Domain, codec: LearnedCodec) -> Scale:
    """Return the scale of the codes of a domain's training examples, evenly spread over them.

    Arguments:
        domain: Gives the examples.
        codec: Encodes them; it has no scale yet.
    """
    size = domain.size("train")
    n = min(size, MEASURED)
    chosen = [i * size // n for i in range(n)]
    total, squares, count, kept = torch.zeros(1), torch.zeros(1), 0, list[Tensor]()
    for first in counted("batches encoded", -(-n // AT_ONCE), range(0, n, AT_ONCE)):
        indices = chosen[first : first + AT_ONCE]
        generators = streams(0, "codes", indices)
        z = codec.encode(domain.batch("train", indices, generators).x, generators)
        each = z.double().transpose(0, 1).flatten(1)
        total, squares, count = total + each.sum(1), squares + each.square().sum(1), count + each.shape[1]
        kept += [z] if first < PRINCIPAL else []
    mean = total / count
    std = (squares / count - mean.square()).clamp_min(1e-12).sqrt()
    scaled = (torch.cat(kept) - LearnedCodec.offset(mean.tolist(), z)) / LearnedCodec.offset(std.tolist(), z)
    return Scale(tuple(mean.tolist()), tuple(std.tolist()), principal_std(scaled.flatten(1)))


def code_batch(batch: Batch, codec: LearnedCodec, generators: Sequence[torch.Generator] | None) -> Batch:
    """Return a batch with the codes of its states.

    Arguments:
        batch: States of the domain, their space and conditions.
        codec: Encodes the states.
        generators: B random streams of the posterior; None: its means.
    """
    space = codec.space(batch.space)  # type: ignore[arg-type] # checked there
    return Batch(codec.encode(batch.x, generators), space, batch.cond)
