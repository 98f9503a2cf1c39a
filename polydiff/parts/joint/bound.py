r"""The bound on the likelihood of a state of several parts, whose lead is Gaussian.

$$ -\log p(x_0) \le \mathrm{prior} + \int \frac{\mathbb E |x_0 - D|^2}{s^3}\, ds
   + \sum_{\mathrm{followers}} \int \mathrm{rate}(l)\, dl + \mathrm{decoder}, $$

along the clock, from the lowest noise level of the lead, where the followers are clean, to the prior of all parts. For
the exact network the total is -log p(x_0), on any path of the levels; the share of a part depends on the path.

Symbols: s noise level of the lead, D estimate of its clean state, l level of a follower, u uniform number, B batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from polydiff.core.likelihood import Estimate
from polydiff.core.parts.product import as_parts, as_product, part_streams
from polydiff.core.process.process import Trained
from polydiff.core.space import Batch
from polydiff.gaussian.likelihood.importance import quantiles
from polydiff.gaussian.likelihood.terms import averaged, decoder, decoder_std, in_units, prior_kl, prior_variance, total
from polydiff.parts.bound import bounded
from polydiff.parts.gaussian import GaussianKernel
from polydiff.parts.joint.clock import JointClock
from polydiff.parts.network import PartsNetwork
from polydiff.parts.objective import corrupted

if TYPE_CHECKING:
    from polydiff.core.units import Units

BOUNDS: Mapping[str, str] = {"vlb": "variational bound in continuous time, of all parts together"}
"""Name of a bound on -log p -> one-line description."""

LETTERS = "probability of letters"
"""Unit of a part of letters."""


@dataclass(frozen=True)
class JointBound:
    """Bounds on -log p of the batches of one data set.

    Arguments:
        model: The trained model.
        clock: Levels of all parts.
        draws: Levels drawn for each example.
        lowest: Noise level of the lead where its decoder takes over.
        unit: Unit of the density of the lead; "": none is known.
    """

    model: Trained
    clock: JointClock
    draws: int
    lowest: float
    unit: str = ""

    @property
    def facts(self) -> Mapping[str, Any]:
        lead = f"density in {self.unit or 'units of states'}"
        units = {self.clock.name: lead, **dict.fromkeys(self.clock.followers, LETTERS)}
        return {"lowest_noise_level": self.lowest, "part_units": units}

    @property
    def network(self) -> PartsNetwork:
        """The network, in float32."""
        network: PartsNetwork = self.model.denoiser.with_precision("float32")
        return network

    @property
    def kernel(self) -> GaussianKernel:
        """Kernel of the lead."""
        kernel: GaussianKernel = self.model.denoiser.kernels[self.clock.name]
        return kernel

    @torch.no_grad()
    def __call__(self, kind: str, batch: Batch, units: Units | None, generators: Sequence[torch.Generator]) -> Estimate:
        space, x_0 = as_product(batch.space).parts[self.clock.name], as_parts(batch.x)[self.clock.name]
        drawn: dict[str, list[Tensor]] = {name: [] for name in self.network.kernels}
        own = part_streams(generators, self.network.kernels)
        for u in quantiles(self.draws, generators):
            for name, nats in self.rates(batch, u.cpu(), own).items():
                drawn[name].append(nats)
        high, data = self.kernel.top, self.kernel.frame.sigma_data
        parts = {
            **{name: averaged(nats)[0] for name, nats in drawn.items()},
            "prior": prior_kl(space, x_0, high, prior_variance(high, data, "data")),
            "decoder": self.decoded(batch, units, own),
            **in_units(space, units),
        }
        together = averaged([torch.stack(each).sum(0) for each in zip(*drawn.values(), strict=True)])
        return total(parts, [together[1]], torch.full((space.batch,), self.draws + 1))

    def rates(self, batch: Batch, u: Tensor, own: Mapping[str, Sequence[torch.Generator]]) -> dict[str, Tensor]:
        """Return the integrand of each part at uniform numbers u (B,), float64, nats, (B,).

        Arguments:
            batch: Clean states, their space and conditions.
            u: Uniform numbers in (0, 1), (B,), float64.
            own: Name of a part -> B random streams.
        """
        network, x_0, space = self.network, as_parts(batch.x), as_product(batch.space)
        levels, slopes = self.path(u)
        x = corrupted(network, x_0, levels, space, own)
        device = space.dim.device
        f = network(x, {name: level.to(device) for name, level in levels.items()}, space, batch.cond)
        return {
            name: kernel.rate(f[name], x_0[name], x[name], levels[name].to(device), space.parts[name]).double()
            * slopes[name].to(device)
            for name, kernel in bounded(network).items()
        }

    def path(self, u: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the levels of all parts at uniform numbers u (B,), and their derivatives, float64.

        The noise levels have the mean of two densities: one follows s_d^2 / (s^2 + s_d^2) over log s, where the error
        of the exact network for Gaussian data is constant; the other is even in the time of the followers. That time is
        0 at the lowest level, so it differs from that of `JointClock` by at most asinh(lowest) / asinh(highest).
        """
        ends = torch.tensor([self.lowest, self.kernel.top], dtype=torch.float64)

        def share(s: Tensor) -> Tensor:
            lead, time = -torch.log1p(1 / s**2) / 2, s.asinh()
            low, first = -torch.log1p(1 / ends**2) / 2, ends.asinh()
            return (lead - low[0]) / (low[1] - low[0]) / 2 + (time - first[0]) / (first[1] - first[0]) / 2

        below, above = (end.expand_as(u).double() for end in ends)
        for _ in range(80):  # bisection of a rising function, over log s
            s = (below * above).sqrt()
            below, above = torch.where(share(s) < u, s, below), torch.where(share(s) < u, above, s)
        with torch.enable_grad():
            s = (below * above).sqrt().requires_grad_()
            (density,) = torch.autograd.grad(share(s).sum(), s)
            first, last = ends.asinh()
            time = ((s.asinh() - first) / (last - first)).clamp(0, 1)
            levels = {self.clock.name: s, **{name: each(time) for name, each in self.clock.followers.items()}}
            slopes = {name: torch.autograd.grad(level.sum(), s, retain_graph=True)[0] for name, level in levels.items()}
        found = {name: level.detach() for name, level in levels.items()}
        return found, {name: slope / density for name, slope in slopes.items()}

    def decoded(self, batch: Batch, units: Units | None, own: Mapping[str, Sequence[torch.Generator]]) -> Tensor:
        """Return -log p(x_0 | x) of the lead at its lowest level, the other parts clean, nats, (B,).

        Arguments:
            batch: Clean states, their space and conditions.
            units: Units of the lead; None: it is in units of states.
            own: Name of a part -> B random streams.
        """
        network, x_0, space = self.network, as_parts(batch.x), as_product(batch.space)
        name = self.clock.name
        levels = {
            part: torch.full((space.batch,), self.lowest if part == name else 0.0, dtype=torch.float64)
            for part in network.kernels
        }
        x = {**x_0, name: self.kernel.corrupt(x_0[name], levels[name], space.parts[name], own[name])}
        f = network(x, {part: level.to(space.dim.device) for part, level in levels.items()}, space, batch.cond)[name]
        part_space, s = space.parts[name], levels[name].to(f)
        estimate = self.kernel.estimate(f, x[name], s, part_space)
        return decoder(part_space, x_0[name], estimate, decoder_std(levels[name].to(f.device), 1.0), units)
