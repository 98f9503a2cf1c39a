"""Examples of any domain that are noise."""

from __future__ import annotations

from polydiff.contract.domain import Domain, Samples
from polydiff.core.streams import streams


def noise(domain: Domain, n: int) -> Samples:
    """Decode n states of noise; their conditions are those of new samples for which none is requested."""
    space, cond = domain.blank(streams(0, "blank", range(n)), {})
    return Samples(domain.decode(space.noise(streams(0, "noise", range(n))), space), cond)
