"""The way from noise to samples, decoded: what the state and the network's estimate are on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from polydiff.contract.domain import Samples
from polydiff.core.condition_batch import condition_to
from polydiff.core.process.sampling import Traces
from polydiff.core.space import state_to
from polydiff.model.request import Request
from polydiff.support.protocols import provides


class Scene(NamedTuple):
    """One moment of drawing a batch, decoded.

    Attributes:
        level: Noise level; 0 at the end.
        state: The states, scaled to the spread of clean states.
        estimate: The network's estimates of the clean states, given these states.
    """

    level: float
    state: Samples
    estimate: Samples


def trace(request: Request, numbers: Sequence[int], seed: int, most: int) -> list[Scene]:
    """Return up to `most` moments of drawing some samples, evenly spaced, with the first and the last.

    The samples are those of `request.samples(range(n), seed)` with these numbers. [] if the plan of the process cannot
    show its way, or evaluates the network within a solver only, as the sampler `adaptive` does.

    Arguments:
        request: How samples are drawn.
        numbers: Numbers of the samples.
        seed: Of the samples.
        most: Largest number of moments.
    """
    plan, domain = request.plan, request.model.domain
    if not provides(plan, Traces):
        return []
    space, cond = request.blank(numbers, seed)
    draw = request.draw(space, condition_to(cond, request.model.device), seed, numbers, compile=False)
    moments = list(plan.trace(draw, request.guide))
    count = min(most, len(moments))
    places = sorted({round(i * (len(moments) - 1) / max(count - 1, 1)) for i in range(count)})

    def decoded(x: object) -> Samples:
        return Samples(domain.decode(state_to(x, "cpu"), space))

    return [Scene(moments[i].level, decoded(moments[i].x), decoded(moments[i].estimate)) for i in places]
