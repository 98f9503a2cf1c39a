"""Which levels of parts training combines: those of one time, times of their own, some given, or some left out.

A network can sample only such combinations of levels as it was trained on.

Symbols: B number of samples, u uniform number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from polydiff.contract.sections.parts import parts_in
from polydiff.core.parts.letters import uniform_numbers
from polydiff.core.streams import stream

MODES = ("same", "apart", "given", "none")


@dataclass(frozen=True)
class Coupling:
    """Shares of examples by how the levels of their parts are related (`contract.sections.parts.CouplingConfig`).

    Arguments:
        shares: Mode -> its share; they add up to 1.
        chosen: Parts, or several together such as a+b, of which one entry is given or left out.
        tops: Name of a part -> its level in the prior.
    """

    shares: Mapping[str, float]
    chosen: Sequence[str]
    tops: Mapping[str, float]

    @property
    def alone(self) -> bool:
        """Whether all examples have their parts at the levels of one time."""
        return self.shares.get("same", 0.0) >= 1

    def __call__(
        self,
        levels: Callable[[Tensor], Mapping[str, Tensor]],
        u: Tensor,
        generators: Sequence[torch.Generator],
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the level of each part, (B,), and whether its loss counts, (B,) of 0 and 1.

        Arguments:
            levels: u -> levels of all parts.
            u: Uniform numbers in (0, 1), (B,), float64, on the CPU.
            generators: B random streams.
        """
        found = dict(levels(u))
        counts = {name: torch.ones_like(u) for name in found}
        if self.alone:
            return found, counts
        own = [stream(generator.initial_seed(), "coupling") for generator in generators]
        drawn = torch.stack(uniform_numbers(own, [2 + len(found)] * len(own)))
        mode = self.modes(drawn[:, 0])
        place = (drawn[:, 1] * len(self.chosen)).long()
        for i, name in enumerate(list(found)[1:]):  # the first part keeps its time
            apart = levels(drawn[:, 2 + i].clamp(1e-7, 1 - 1e-7))[name]
            found[name] = torch.where(mode == MODES.index("apart"), apart, found[name])
        for i, group in enumerate(self.chosen):
            given, none = ((mode == MODES.index(each)) & (place == i) for each in ("given", "none"))
            for name in parts_in(group):
                level = torch.where(given, 0.0, torch.where(none, self.tops[name], found[name]))
                found[name], counts[name] = level, torch.where(given | none, 0.0, counts[name])
        return found, counts

    def modes(self, v: Tensor) -> Tensor:
        """Return the mode of each example, its place in `MODES`, from uniform numbers (B,)."""
        ends = torch.tensor([self.shares.get(mode, 0.0) for mode in MODES], dtype=torch.float64).cumsum(0)
        return torch.searchsorted(ends[:-1].contiguous(), v.contiguous(), right=True)
