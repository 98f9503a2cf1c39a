r"""The optional ability of a `Domain` to follow another stage of a pipeline, and noise on what it follows.

Stages pass examples to each other, not states: each stage standardises them by its own statistics.

Examples that a model draws differ from those of the data, on which the next stage was trained. Conditioning
augmentation hides the difference: in training, the next stage is conditioned on

$$ y = l + s \epsilon, \qquad \epsilon \sim N(0, I), $$

and on the level s itself, so that in use s can be chosen as large as the earlier stage errs (Ho et al., Cascaded
Diffusion Models, 2021, https://arxiv.org/abs/2106.15282; conditioned on s: Saharia et al., Imagen, 2022,
https://arxiv.org/abs/2205.11487).

Symbols: B batch, l the degraded example, such as a small image, s the level of the noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from polydiff.core.space import normal
from polydiff.support.errors import UserError

if TYPE_CHECKING:
    from polydiff.contract.domain import Samples
    from polydiff.contract.sections.run import Config
    from polydiff.core.conditions import Condition
    from polydiff.core.space import Space

EXACT = 0.2
"""Share of the training examples whose conditions get no noise."""


class Fits(Protocol):
    """A configuration that says whose examples its runs can be conditioned on, before any of them is trained.

    Attributes:
        needs_input: Whether its runs restore examples from another form, such as small images, so that they need
            examples of that form to draw.
        input_noise: Least and greatest level of the noise that training adds to that form; None: none.
    """

    @property
    def needs_input(self) -> bool: ...

    @property
    def input_noise(self) -> tuple[float, float] | None: ...

    def misfit(self, earlier: Config) -> str | None:
        """Return why examples of another stage cannot condition a run of this configuration; None if they can.

        Arguments:
            earlier: Configuration of the other stage. polydiff passes this argument by position.
        """


class Follows(Protocol):
    """A domain whose network is conditioned on examples that another stage draws; its configuration is `Fits`.

    A super-resolution stage of a cascade follows the stage that draws small images; the decoder of unCLIP follows the
    prior that draws embeddings.
    """

    def follow(self, samples: Samples, generators: Sequence[torch.Generator], level: float = 0.0) -> Condition:
        """Return the conditions that the other stage's examples make, name -> tensor (B, ...).

        Arguments:
            samples: B examples of the other stage.
            generators: B random streams, one an example, for the noise.
            level: Standard deviation of the noise that is added to the conditions, in units of this stage's states.

        Raises:
            UserError: The samples do not fit (`Fits.misfit`), or the stage was not trained with noise of this level.
        """


class Scores(Protocol):
    """A domain that says how well examples agree with their conditions; a pipeline keeps the best of several draws."""

    def scores(self, samples: Samples) -> Tensor:
        """Return a number for each of B examples, (B,); more is better."""


class SpaceUnderConditions(Protocol):
    """A domain whose states live in a space that depends on the task's conditions, such as a missing part of a sound.

    Samples under given conditions (`polydiff.model.request.Request.under`) are drawn and decoded in this space.
    """

    def space_under(self, space: Space, cond: Condition) -> Space:
        """Return the space of new samples under their conditions.

        Arguments:
            space: Space of B samples, as `Domain.blank` returns it. polydiff passes both arguments by position.
            cond: All conditions of these samples, name -> tensor (B, ...).
        """


@dataclass(frozen=True)
class NoiseAugmentation:
    r"""The law of the noise on a condition in training, and the number by which a network is conditioned on its level.

    A fifth of the examples (`EXACT`) has no noise. The levels s of the others are log-uniform. The network gets

    $$ v = \log(s + s_{min}), $$

    which distinguishes levels by their ratio, as `log sigma` does for the noise of a diffusion, and is finite at s = 0.

    Arguments:
        least: Least level s_min, above 0, in units of the states.
        greatest: Greatest level.
    """

    least: float
    greatest: float

    def draw(self, generators: Sequence[torch.Generator]) -> Tensor:
        """Return the levels of training examples, (B,), each by its own generator."""
        lots, places = torch.stack([torch.rand(2, generator=generator) for generator in generators]).unbind(1)
        levels = self.least * (self.greatest / self.least) ** places
        return torch.where(lots < EXACT, 0.0, levels)

    def encode(self, levels: Tensor) -> Tensor:
        """Return the numbers v (B,) by which a network is conditioned on levels (B,)."""
        return (levels + self.least).log()

    def is_exact(self, v: Tensor) -> Tensor:
        """Return which numbers v (B,) stand for the level 0, booleans (B,); NaN does not."""
        return v < math.log(self.least) + 1e-5


def noisy(x: Tensor, levels: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Return x (B, ...) with noise of standard deviation `levels` (B,), each example's drawn by its own generator."""
    return x + levels.reshape(-1, *(1 for _ in x.shape[1:])) * normal(generators, tuple(x.shape[1:]), x.device)


def check_level(level: float, noise: NoiseAugmentation | None) -> None:
    """Raise UserError unless a stage was trained with noise of this level on what it follows; 0 suits every stage.

    Arguments:
        level: Level s.
        noise: Noise of its training; None: none.
    """
    if not 0 <= level < math.inf:
        raise UserError(f"The level of the noise must be a finite number of at least 0, not {level}.")
    if level > 0 and noise is None:
        raise UserError(
            f"The level of the noise is {level:g}, but this stage was trained without noise on its condition. Use the "
            "level 0, or train it with data.noise=0.02,1."
        )
    if noise is not None and level > noise.greatest:
        raise UserError(
            f"The level of the noise is {level:g}, but this stage was trained with levels of up to "
            f"{noise.greatest:g} (data.noise). Use a lower level, or train it with a higher one."
        )
