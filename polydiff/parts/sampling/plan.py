"""The plan of a request for a process of parts: levels, rows, guidance, made once a request and run once a batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from polydiff.core.conditions import given
from polydiff.core.parts.known import known_name
from polydiff.core.parts.product import Parts, Product, as_parts, as_product, as_state
from polydiff.core.process.process import Trained
from polydiff.core.process.sampling import Draw, Known, Moment
from polydiff.core.space import State
from polydiff.core.streams import streams
from polydiff.parts.estimates import visible_parts
from polydiff.parts.guidance import Guided, Network
from polydiff.parts.kernel import Hides, Imposes, Kernel
from polydiff.parts.known import open_letters
from polydiff.parts.sampling.execute import Held, JointRow, Step, begin, run_rows
from polydiff.parts.sampling.rows import Grid
from polydiff.support.errors import UserError
from polydiff.support.protocols import provides

if TYPE_CHECKING:
    from polydiff.contract.sections.sampling import SampleConfig


@dataclass(frozen=True)
class PartsPlan:
    """How the batches of a request are drawn.

    Arguments:
        model: The trained model.
        how: Sampler, steps, guidance and their options.
        grid: Makes the rows, for spaces of any size.
    """

    model: Trained
    how: SampleConfig
    grid: Grid

    def evaluations(self, guided: bool) -> int | None:
        """Return the number of network evaluations a sample; None if it depends on the sample's size."""
        if self.grid.by_size:
            return None
        rows = [row for row in self.grid.rows(1) if row.evaluates]
        if self.how.guidance == 1 or not guided:
            return len(rows)
        low, high = self.how.guidance_interval or (0.0, float("inf"))
        return sum(2 if low <= row.levels[self.grid.lead] <= high else 1 for row in rows)

    @torch.no_grad()
    def run(self, draw: Draw, guide: Trained | None = None) -> State:
        """Return the sampled states of a batch."""
        for step in self.steps(draw, guide):
            x = step.x
        state: State = as_state(x)
        return state

    @torch.no_grad()
    def trace(self, draw: Draw, guide: Trained | None = None) -> Iterator[Moment]:
        """Yield the states at which the network is called, with its guess of the clean ones, then the sample."""
        space, kernels = as_product(draw.space), self.kernels
        for step in self.steps(draw, guide):
            levels = step.row.levels
            if step.f is None:
                guess = step.x
            else:
                guess = {
                    name: kernel.guess(
                        step.f[name], step.x[name], torch.tensor(levels[name]).double(), space.parts[name]
                    )
                    for name, kernel in kernels.items()
                }
            yield Moment(levels[self.grid.lead], as_state(visible_parts(kernels, step.x, levels)), as_state(guess))

    @property
    def kernels(self) -> Mapping[str, Kernel]:
        """Name of a part -> its kernel."""
        kernels: Mapping[str, Kernel] = self.model.denoiser.kernels
        return kernels

    @property
    def masks(self) -> Mapping[str, int]:
        """Name of each part of masked letters -> number of the mask (`polydiff.core.process.sampling.Unmasks`)."""
        found = {name: kernel.mask for name, kernel in self.kernels.items() if provides(kernel, Hides)}
        return {name: mask for name, mask in found.items() if mask is not None}

    def steps(self, draw: Draw, guide: Trained | None) -> Iterator[Step]:
        """Yield the steps of a batch; a second call yields the same bits."""
        space, generators = as_product(draw.space), streams(draw.seed, "sample", draw.indices, self.model.device)
        held = self.held(draw)
        for name, clean in (("the given states", draw.init), ("the known states", draw.known and draw.known.x)):
            if clean is not None:
                self.check(as_parts(clean), space, name)
        rows = self.rows(max(int(part.dim.max()) for part in space.parts.values()), held, space)
        init = None if draw.init is None else as_parts(draw.init)
        x = begin(rows, self.kernels, space, generators, init, held)
        if self.grid.by_size:  # letters that are known from the beginning need no call
            rows = self.rows(max(1, hidden_in(x, space, self.kernels)), held, space)
        return run_rows(rows, self.network(draw, guide), self.kernels, x, space, draw.cond, generators, held)

    def held(self, draw: Draw) -> Held | None:
        """Return the known values of a batch: given ones, or the letters that its conditions hold; None without."""
        if draw.known is None:
            known = open_letters(self.kernels, draw.cond)
            return Held(known, {name: given(letters) for name, letters in known.items()}) if known else None
        held = held_values(draw.known)
        conditioned = {
            name
            for name, kernel in self.kernels.items()
            if known_name(name) in (draw.cond or {}) and provides(kernel, Imposes)
        }
        return replace(held, conditioned=conditioned)

    def check(self, x: Parts, space: Product, name: str) -> None:
        """Raise UserError unless given parts are clean states of their kernels."""
        for part, kernel in self.kernels.items():
            kernel.check(x[part], space.parts[part], name if len(x) == 1 else f"{name}[{part!r}]")

    def rows(self, sites: int, held: Held | None, space: Product) -> Sequence[JointRow]:
        """Return the rows for samples of at most so many sites, of which some values may be known."""
        return self.grid.rows(sites)

    def network(self, draw: Draw, guide: Trained | None) -> Network:
        """Return the network of one batch, guided if the draw is."""
        network: Network = in_precision(self.model, self.how.precision, draw.compile)
        if not draw.guided:
            return network
        weak = None if guide is None else in_precision(guide, self.how.precision, draw.compile)
        cond = draw.cond if guide is not None and draw.weak is None else draw.weak
        interval = self.how.guidance_interval
        return Guided(network, self.how.guidance, cond, weak, interval, self.grid.lead, draw.joined)


def hidden_in(x: Parts, space: Product, kernels: Mapping[str, Kernel]) -> int:
    """Return how many letters are lost in the sample with most of them; all sites if a kernel does not show this."""
    found = [
        kernel.hidden(x[name], space.parts[name]) if provides(kernel, Hides) else space.parts[name].dim
        for name, kernel in kernels.items()
    ]
    return max(int(each.max()) for each in found)


def in_precision(model: Trained, precision: str, compiled: bool) -> Any:
    """Return a model's network, compiled or not, in an autocast precision, with the same weights."""
    return (model.compiled if compiled else model.denoiser).with_precision(precision)


def held_values(known: Known) -> Held:
    """Return known values with boolean masks.

    Raises:
        UserError: A mask names a part that the state lacks.
    """
    x_0, masks = as_parts(known.x), as_parts(known.mask)
    if foreign := masks.keys() - x_0.keys():
        raise UserError(f"mask has the parts {', '.join(sorted(foreign))}, which the state lacks.")
    return Held(x_0, {name: mask != 0 for name, mask in masks.items()})
