"""The order in which the letters of samples appeared: at which call of the network each one was decided.

Symbols: n number of samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from polydiff.core.condition_batch import condition_to
from polydiff.core.parts.product import Parts, as_parts, as_state
from polydiff.core.process.sampling import Unmasks
from polydiff.core.space import state_to
from polydiff.model.request import Request
from polydiff.support.protocols import provides

NOWHERE = -1
"""Number of places that are no site of their sample."""


class Appearance(NamedTuple):
    """When letters appeared.

    Attributes:
        steps: Number of steps of the sampler.
        parts: Name of a part of masked letters -> for each site the step, 1 to `steps`, after which it was no longer
            masked, int64 (n, ...); of a letter that was masked again the last one. 0: known from the beginning; -1: no
            site.
        examples: The decoded samples.
    """

    steps: int
    parts: Mapping[str, Tensor]
    examples: Sequence[Any] = ()


def appearance(request: Request, n: int, seed: int) -> Appearance | None:
    """Return when the letters of samples 0 to n - 1 appeared; None if no part of the state is masked letters.

    The samples are those of `request.samples(range(n), seed)`.

    Arguments:
        request: How samples are drawn.
        n: Number of samples.
        seed: Of the samples.
    """
    plan, model = request.plan, request.model
    if not provides(plan, Unmasks) or not plan.masks:
        return None
    space, cond = request.blank(range(n), seed)
    draw = request.draw(space, condition_to(cond, model.device), seed, range(n), compile=False)
    states: list[Parts] = [as_parts(state_to(moment.x, "cpu")) for moment in plan.trace(draw, request.guide)]
    parts = {name: last_hidden([state[name] for state in states], mask) for name, mask in plan.masks.items()}
    return Appearance(len(states) - 1, parts, model.domain.decode(as_state(states[-1]), space))


def last_hidden(states: list[Tensor], mask: int) -> Tensor:
    """Return the number of the last of some states in which each letter is masked, counted from 1; 0 if in none.

    Arguments:
        states: Letters (n, ...), in order of sampling.
        mask: Number of the mask.
    """
    found = torch.zeros_like(states[0])
    for number, x in enumerate(states, start=1):
        found = torch.where(x == mask, number, found)
    return torch.where(states[-1] < 0, NOWHERE, found)
