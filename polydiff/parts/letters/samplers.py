r"""Samplers of letters: rows that say at which level a site jumps, or how many sites appear in a call.

`ancestral` is the reverse process on a grid of levels; its error falls with the number of steps to first order, since
the sites of a step are drawn independently. `first_hitting` reveals one site a call in random order and has no error of
its own. `remask` covers letters again, so that it can correct earlier ones. `confident` reveals the sites of which the
network is surest, which is not the model's law for more than one site a call.

Each takes `temperature` and `top_p`, which change the law too.

Symbols: l level, a = 1 - l, t before and s after a step, sigma probability that a letter is masked again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from polydiff.core.registry import Registry
from polydiff.parts.kernel import one_call_a_site
from polydiff.parts.letters.law import pick, sharpened
from polydiff.parts.letters.totals import meet_totals, totals_of

if TYPE_CHECKING:
    from polydiff.core.parts.letters import Letters
    from polydiff.parts.letters.kernel import LetterKernel

JUMPS: Registry[Callable[..., Sequence[Any]]] = Registry("sampler of masked letters")
"""Samplers of letters that are masked: name -> function (levels, sites, **options) -> rows."""
REPLACING: Registry[Callable[..., Sequence[Any]]] = Registry("sampler of replaced letters")
"""Samplers of letters that are replaced by other letters, where nothing shows what is lost."""


def check_law(temperature: float, top_p: float) -> None:
    """Raise ValueError unless a temperature is positive and finite, and top_p is above 0 and at most 1."""
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature={temperature:g}: must be above 0.")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p={top_p:g}: must be above 0 and at most 1.")


@dataclass(frozen=True)
class Jump:
    """A step from one level to a lower one, for all sites at once.

    Arguments:
        at: Level t before the step.
        to: Level s after it.
        again: Probability sigma that a letter is masked again; only for `masked`.
        temperature: Temperature of the posterior.
        top_p: Share of the posterior that is kept.
    """

    at: float
    to: float
    again: float = 0.0
    temperature: float = 1.0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        check_law(self.temperature, self.top_p)

    def move(
        self, kernel: LetterKernel, log_p: Tensor, x: Tensor, space: Letters, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """Return the letters (R, ...) after the step.

        Arguments:
            kernel: The categorical kernel.
            log_p: Posterior log p(x_0 | x), (R, ..., K), float64.
            x: Letters before the step, (R, ...).
            space: Where they live.
            generators: B random streams.
        """
        moved = pick(self.law(kernel, log_p, x, space), space.uniforms(generators))
        totals = totals_of(space) if kernel.masked else None
        if totals is None:
            return moved
        p = sharpened(log_p, self.temperature, self.top_p).exp()
        return meet_totals(p, x, moved, totals, space, generators)

    def law(self, kernel: LetterKernel, log_p: Tensor, x: Tensor, space: Letters) -> Tensor:
        r"""Return the probabilities of the letters after the step, (R, ..., K), with the mask (R, ..., K + 1).

        $$ p(x_s | x_t) = \sum_k p(k | x_t)\, q(x_s | x_t, k), \qquad
           q(x_s | x_t, k) = q(x_t | x_s)\, q(x_s | k) / q(x_t | k). $$
        """
        p = sharpened(log_p, self.temperature, self.top_p).exp()
        if kernel.masked:
            lost = max(self.to - self.again * (1 - self.at), 0.0)
            stays = lost / self.at if self.at else 0.0  # of a masked letter; a level may underflow to 0
            covered = torch.where((x == kernel.letters)[..., None], p.new_tensor(stays), p.new_tensor(self.again))
            return torch.cat([p * (1 - covered), covered], -1)
        at, to = (torch.full((), level, dtype=torch.float64, device=x.device) for level in (self.at, self.to))
        return kernel.reverse(p, x, at, to, at, space)


@dataclass(frozen=True)
class Reveal:
    """A call that reveals masked sites, a given number in each sample.

    Arguments:
        at: Level before the step, if sites were lost evenly; the estimate of masked states does not depend on it.
        to: Level after it.
        count: Number of sites.
        surest: Whether these are the sites with the most probable letter, rather than random ones.
        temperature: Temperature of the posterior from which letters are drawn; it does not change which are surest.
        top_p: Share of the posterior that is kept.
    """

    at: float
    to: float
    count: int = 1
    surest: bool = False
    temperature: float = 1.0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        check_law(self.temperature, self.top_p)

    def move(
        self, kernel: LetterKernel, log_p: Tensor, x: Tensor, space: Letters, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """Return the letters (R, ...) after the step; arguments as in `Jump.move`."""
        order = space.uniforms(generators)
        p, moved = sharpened(log_p, self.temperature, self.top_p).exp(), x
        letter = pick(p, space.uniforms(generators))
        doubt = 1 - log_p.max(-1).values.exp() if self.surest else torch.zeros_like(order)
        for _ in range(self.count):
            hidden = moved == kernel.letters
            least = lowest(hidden, doubt, space)
            moved = torch.where(lowest(least, order, space), letter, moved)  # of equally sure sites, a random one
        totals = totals_of(space)
        return moved if totals is None else meet_totals(p, x, moved, totals, space, generators)


def lowest(among: Tensor, key: Tensor, space: Letters) -> Tensor:
    """Return which of some sites have the least key of their sample, booleans (R, ...).

    Arguments:
        among: The sites to choose from, booleans (R, ...).
        key: Numbers (R, ...), equal at sites that hold the same letter.
        space: Where the sites are.
    """
    key = torch.where(among, key, math.inf)
    return among & (key == space.expand(key.flatten(1).min(1).values))


@REPLACING.register("ancestral")
@JUMPS.register("ancestral")
def ancestral(levels: Sequence[float], sites: int, temperature: float = 1.0, top_p: float = 1.0) -> list[Jump]:
    """The reverse process on a grid of levels, exact but for the independence of the sites of a step.

    (Austin et al., D3PM, 2021, https://arxiv.org/abs/2107.03006)

    Arguments:
        levels: Falling levels, the last 0.
        sites: Largest number of sites; unused.
        temperature: Temperature of the posterior.
        top_p: Share of the posterior that is kept.
    """
    return [Jump(t, s, 0.0, temperature, top_p) for t, s in pairwise(levels)]


@JUMPS.register("remask")
def remask(
    levels: Sequence[float],
    sites: int,
    eta: float = 1.0,
    rescale: bool = False,
    low: float = 0.0,
    high: float = 1.0,
    temperature: float = 1.0,
    top_p: float = 1.0,
) -> list[Jump]:
    """Letters are masked again with probability sigma, and more are revealed in return, so that levels stay the same.

    sigma is at most (1 - a_s) / a_t. (Wang et al., ReMDM, 2025, https://arxiv.org/abs/2503.00307; with sigma = eta (t -
    s) it is the stochasticity of Campbell et al., DFM, 2024, https://arxiv.org/abs/2402.04997)

    Arguments:
        levels: Falling levels, the last 0; no letter is masked again in the last step.
        sites: Largest number of sites; unused.
        eta: sigma over the fall of the level; with `rescale` over the largest sigma, and then at most 1.
        rescale: Whether sigma is eta times the largest possible one.
        low: Lowest level, after a step, with remasking.
        high: Highest level, before a step, with remasking.
        temperature: Temperature of the posterior.
        top_p: Share of the posterior that is kept.
    """
    if eta < 0 or (rescale and eta > 1):
        raise ValueError(f"eta={eta:g}: must be at least 0, and at most 1 with rescale.")

    def sigma(t: float, s: float) -> float:
        most = min(1.0, s / (1 - t)) if t < 1 else 0.0
        if not (low <= s and t <= high):
            return 0.0
        return eta * most if rescale else min(eta * (t - s), most)

    return [Jump(t, s, sigma(t, s), temperature, top_p) for t, s in pairwise(levels)]


@JUMPS.register("first_hitting")
@one_call_a_site
def first_hitting(levels: Sequence[float], sites: int, temperature: float = 1.0, top_p: float = 1.0) -> list[Reveal]:
    """One random masked site a call, as many calls as sites: no error of a grid (Zheng et al., 2024).

    The order of the sites is that of the exact reverse process; its times need not be drawn, since the estimate does
    not depend on them. https://arxiv.org/abs/2409.02908

    Arguments:
        levels: Falling levels; only the first is used.
        sites: Largest number of sites of a sample.
        temperature: Temperature of the posterior.
        top_p: Share of the posterior that is kept.
    """
    return reveals(levels[0], sites, 1, False, temperature, top_p)


@JUMPS.register("confident")
@one_call_a_site
def confident(
    levels: Sequence[float], sites: int, k: int = 1, temperature: float = 1.0, top_p: float = 1.0
) -> list[Reveal]:
    """The k sites of which the network is surest, a call (Chang et al., MaskGIT, 2022).

    With k = 1 it is exact for the exact posterior, since the choice depends on revealed letters only. With k > 1 it is
    not the model's law: sites whose letters depend on each other are often equally sure.
    https://arxiv.org/abs/2202.04200

    Arguments:
        levels: Falling levels; only the first is used.
        sites: Largest number of sites of a sample.
        k: Number of sites a call.
        temperature: Temperature of the posterior.
        top_p: Share of the posterior that is kept.
    """
    if k < 1:
        raise ValueError(f"k={k}: must be at least 1.")
    return reveals(levels[0], sites, min(k, max(sites, 1)), True, temperature, top_p)


def reveals(top: float, sites: int, count: int, surest: bool, temperature: float, top_p: float) -> list[Reveal]:
    """Return calls that reveal all of so many sites, `count` at a time."""
    calls = max(1, math.ceil(sites / count))
    levels = [top * (1 - i / calls) for i in range(calls + 1)]
    return [Reveal(t, s, count, surest, temperature, top_p) for t, s in pairwise(levels)]
