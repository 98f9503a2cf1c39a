r"""The categorical kernel: sites that hold one of K letters, each lost independently with probability l.

A lost site is replaced by a draw of the prior law pi: the mask (`masked`, one letter more than data have), any letter
(`uniform`), or one drawn by the letters' frequencies (`marginal`). With a = 1 - l,

$$ q(x | x_0) = a\, 1[x = x_0] + (1 - a)\, \pi(x). $$

The network's logits F become the posterior of a clean letter by the likelihood of what is seen,

$$ p(x_0 = k | x) \propto e^{F_k}\, q(x | k), $$

which is exact with F = log of the law of the site given all other sites. A step of sampling is the mixture over this
posterior. So few-step samples differ from the data's law only in that the sites of a step are independent given x.

(Austin et al., D3PM, 2021, https://arxiv.org/abs/2107.03006; Sahoo et al., MDLM, 2024,
https://arxiv.org/abs/2406.07524; Campbell et al., 2022, https://arxiv.org/abs/2205.14987)

Symbols: l level, a = 1 - l, pi prior law, K letters, x_0 clean letters, x corrupted letters (R, ...), F logits
(R, ..., K).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from polydiff.core.entry import check_states
from polydiff.core.parts.letters import Letters
from polydiff.core.registry import Registry
from polydiff.parts.kernel import KernelEntry, Source
from polydiff.parts.letters.law import frequencies as frequencies
from polydiff.parts.letters.law import pick
from polydiff.parts.letters.law import uniform_law as uniform_law
from polydiff.parts.letters.samplers import JUMPS, REPLACING, Jump, Reveal
from polydiff.parts.process import register_kernel
from polydiff.support.errors import UserError

SUITS = {
    "schedule": "linear",
    "schedule_options": {},
    "loss.weighting": "elbo",
    "sample.sampler": "ancestral",
    "sample.steps": 64,
}
"""Defaults of a process of letters."""


@dataclass(frozen=True)
class LetterKernel:
    """Letters that are lost independently.

    Arguments:
        letters: Number of letters K.
        law: pi, K numbers that sum to 1; (): the mask.
    """

    letters: int
    law: Sequence[float] = ()

    top: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        """Raise ValueError unless the law has a probability for each letter."""
        if not self.law:
            return
        if len(self.law) != self.letters:
            raise ValueError(f"law has {len(self.law)} numbers for {self.letters} letters.")
        if not all(p >= 0 for p in self.law) or abs(sum(self.law) - 1) > 1e-6:
            raise ValueError(f"law must hold probabilities that sum to 1; they sum to {sum(self.law):g}.")

    @property
    def masked(self) -> bool:
        """Whether lost letters become the mask, whose number is K."""
        return not self.law

    @property
    def mask(self) -> int | None:
        """Number of the mask, K; None if lost letters are replaced."""
        return self.letters if self.masked else None

    @property
    def conditioned(self) -> bool:
        """Whether the network is conditioned on the level: a masked state shows what is lost."""
        return not self.masked

    @cached_property
    def pi(self) -> Tensor:
        """pi as a tensor (K,), float64."""
        return torch.tensor(self.law, dtype=torch.float64)

    def prior(self, space: Letters, generators: Sequence[torch.Generator]) -> Tensor:
        return self.lost(space, space.uniforms(generators))

    def lost(self, space: Letters, v: Tensor) -> Tensor:
        """Return letters (R, ...) drawn from pi by uniform numbers v of the same shape."""
        if self.masked:
            return space.clean(torch.full(v.shape, self.letters, device=v.device))
        return space.clean(pick(self.pi.to(v.device).expand(*v.shape, -1), v))

    def corrupt(self, x_0: Tensor, level: Tensor, space: Letters, generators: Sequence[torch.Generator]) -> Tensor:
        l, v = space.expand(level.to(x_0.device).double()), space.uniforms(generators)
        kept = v >= l  # the rest of v is uniform again, so that one number decides both
        return space.clean(torch.where(kept, x_0, self.lost(space, (v / l.clamp(min=1e-300)).clamp(max=1 - 2**-53))))

    def hold(self, x_0: Tensor, level: Tensor, space: Letters, generators: Sequence[torch.Generator]) -> Tensor:
        return x_0 if self.masked else self.corrupt(x_0, level, space, generators)

    def put(self, x: Tensor, known: Tensor, mask: Tensor, space: Letters) -> Tensor:
        return torch.where(mask, known, x)

    def enter(self, x: Tensor, level: Tensor, space: Letters) -> Tensor:
        return x

    def number(self, level: Tensor) -> Tensor:
        """Return log sqrt(l / (1 - l)), the logarithm of the noise level whose signal-to-noise ratio is a / l."""
        return torch.logit(level.double(), 1e-3) / 2

    def likelihood(self, x: Tensor, level: Tensor, space: Letters) -> Tensor:
        """Return q(x | k) of each letter k, shape (R, ..., K), float64; for the mask up to a factor that k lacks."""
        own = functional.one_hot(x.clamp(0, self.letters), self.letters + 1)[..., : self.letters].double()
        if self.masked:
            return torch.where((x == self.letters)[..., None], 1.0, own)
        a = 1 - space.expand(level.to(x.device).double())[..., None]
        return a * own + (1 - a) * self.pi.to(x.device)[x.clamp(min=0)][..., None]

    def log_posterior(self, f: Tensor, x: Tensor, level: Tensor, space: Letters) -> Tensor:
        """Return log p(x_0 | x), shape (R, ..., K), in the precision of f, at least float32."""
        f = f if f.dtype == torch.float64 else f.float()
        return torch.log_softmax(f + self.likelihood(x, level, space).log().to(f), -1)

    def loss(
        self, f: Tensor, x_0: Tensor, x: Tensor, level: Tensor, slope: Tensor, space: Letters, weighting: str
    ) -> Tensor:
        if weighting == "elbo":
            return self.rate(f, x_0, x, level, space) * slope.to(f.device, torch.float32) / space.dim.clamp(min=1)
        error = self.cross_entropy(self.log_posterior(f, x, level, space), x_0)
        return space.sum(error) / space.dim.clamp(min=1)

    def cross_entropy(self, log_p: Tensor, x_0: Tensor) -> Tensor:
        """Return -log p(x_0 | x) of each site, (R, ...), from log p (R, ..., K)."""
        return -log_p.gather(-1, x_0.clamp(min=0)[..., None])[..., 0]

    def rate(self, f: Tensor, x_0: Tensor, x: Tensor, level: Tensor, space: Letters) -> Tensor:
        r"""Return the integrand of the bound, nats per unit of level, (B,).

        For the mask it is the cross-entropy of masked sites over l. In general it compares the rates R of jumps from x
        to y, given x_0, with their means over the posterior (Campbell et al., 2022):

        $$ \sum_{y \ne x} \bar R_y - R_y + R_y \log (R_y / \bar R_y), \qquad
           R_y = \frac{\pi(x)}{1 - l} \frac{q(y | x_0)}{q(x | x_0)}. $$
        """
        if self.masked:
            error = self.cross_entropy(self.log_posterior(f, x, level, space), x_0)
            return space.sum(torch.where(x == self.letters, error, 0.0)) / level.to(error).clamp(min=1e-30)
        level = level.to(f.device).double().clamp(max=1 - 1e-9)  # 1 - l may have been lost to rounding
        log_p, l = self.log_posterior(f.double(), x, level, space), level  # in float64, since terms nearly cancel
        q, site = self.likelihood(x, level, space).to(log_p), space.expand(l)[..., None]
        mean = self.ratios(log_p.exp(), q, site)
        known = self.ratios(functional.one_hot(x_0.clamp(min=0), self.letters).to(log_p), q, site)
        others = ~functional.one_hot(x.clamp(min=0), self.letters).bool()
        terms = mean - known + known * (known.clamp(min=1e-30) / mean.clamp(min=1e-30)).log()
        pi = self.pi.to(f.device).to(log_p)[x.clamp(min=0)]
        return space.sum(pi * (terms * others).sum(-1)) / (1 - l)

    def ratios(self, p: Tensor, q: Tensor, level: Tensor) -> Tensor:
        """Return sum_k p_k q(y | k) / q(x | k) of each letter y, shape (R, ..., K).

        Arguments:
            p: Probabilities of clean letters, (R, ..., K).
            q: q(x | k) of each letter k, (R, ..., K).
            level: Levels that broadcast against them.
        """
        w = torch.where(q > 0, p / q.clamp(min=1e-300 if q.dtype == torch.float64 else 1e-37), 0.0)
        return (1 - level) * w + level * self.pi.to(p.device).to(p) * w.sum(-1, keepdim=True)

    def divergence(self, f: Tensor, x_0: Tensor, x: Tensor, level: Tensor, to: Tensor, space: Letters) -> Tensor:
        log_p = self.log_posterior(f, x, level, space)
        l, s = (space.expand(each.to(f.device).to(log_p)) for each in (level, to))
        if self.masked:
            error = self.cross_entropy(log_p, x_0)
            return space.sum(torch.where(x == self.letters, (1 - s / l) * error, 0.0))
        known = functional.one_hot(x_0.clamp(min=0), self.letters).to(log_p)
        true, own = (self.reverse(p, x, l, s, level, space).clamp(min=1e-30) for p in (known, log_p.exp()))
        return space.sum((true * (true / own).log()).sum(-1))

    def reverse(self, p: Tensor, x: Tensor, l: Tensor, s: Tensor, level: Tensor, space: Letters) -> Tensor:
        r"""Return the law of a step of letters that are replaced, (R, ..., K).

        $$ p(x_s | x) = q(x | x_s) \sum_k p_k\, q(x_s | k) / q(x | k). $$

        Arguments:
            p: Probabilities of clean letters, (R, ..., K).
            x: Letters before the step, (R, ...).
            l: Levels before the step, broadcasting against x.
            s: Levels after it.
            level: Levels before the step, () or (B,).
            space: Where the letters live.
        """
        reached = self.ratios(p, self.likelihood(x, level, space).to(p), s[..., None])
        stays = ((1 - l) / (1 - s).clamp(min=1e-12))[..., None]
        own = functional.one_hot(x.clamp(min=0), self.letters).to(p)
        return reached * (stays * own + (1 - stays) * self.pi.to(p.device).to(p)[x.clamp(min=0)][..., None])

    def step(
        self,
        row: Jump | Reveal,
        f: Tensor,
        x: Tensor,
        space: Letters,
        generators: Sequence[torch.Generator],
        memory: list[Any],
    ) -> Tensor:
        level = torch.full((), row.at, dtype=torch.float64, device=x.device)
        log_p = self.log_posterior(f.double(), x, level, space)
        return space.clean(row.move(self, log_p, x, space, generators))

    def hidden(self, x: Tensor, space: Letters) -> Tensor:
        """Return how many letters of each sample are masked, (B,)."""
        found: Tensor = space.sum((x == self.letters).to(space.dim)) if self.masked else torch.zeros_like(space.dim)
        return found

    def guess(self, f: Tensor, x: Tensor, level: Tensor, space: Letters) -> Tensor:
        return space.clean(self.log_posterior(f, x, level, space).argmax(-1))

    def check(self, x_0: Tensor, space: Letters, name: str) -> None:
        if x_0.dtype != torch.int64:
            raise UserError(f"{name} is {x_0.dtype}, but letters are whole numbers (int64).")
        check_states(x_0, space, name=name)
        outside = (space.clean(x_0) >= self.letters) | ((x_0 < 0) & (space.clean(torch.zeros_like(x_0)) >= 0))
        if bool(outside.any()):
            wrong = int(x_0[outside][0])
            if self.masked and wrong == self.letters:
                raise UserError(f"{name} has a blank, which only inpainting fills.")
            raise UserError(
                f"{name} has the letter {wrong}, but the letters of these data are 0 to {self.letters - 1}."
            )


def entry(
    make: Callable[[int, Source], LetterKernel],
    weighting: str,
    summary: str,
    samplers: Registry[Callable[..., Sequence[Any]]] = REPLACING,
    conditioned: bool = True,
) -> KernelEntry:
    """Return the entry of a categorical kernel.

    Arguments:
        make: Function of the number of letters and of the source.
        weighting: Default weighting of the loss.
        summary: Description of one line.
        samplers: Its samplers.
        conditioned: Whether its networks are conditioned on the level.
    """
    suits, weightings = SUITS | {"loss.weighting": weighting}, ("elbo", "simple")
    return KernelEntry(
        lambda source: make(source.space.letters, source),
        "letters",
        samplers,
        weightings,
        suits,
        summary,
        conditioned=conditioned,
    )


register_kernel(
    "masked", entry(lambda k, _: LetterKernel(k), "elbo", "letters that are masked and appear again", JUMPS, False)
)
register_kernel(
    "uniform",
    entry(lambda k, _: LetterKernel(k, uniform_law(k)), "simple", "letters that are replaced by any letter"),
)
register_kernel(
    "marginal",
    entry(
        lambda k, source: LetterKernel(k, frequencies(source)),
        "simple",
        "letters that are replaced by letters drawn by their frequencies",
    ),
)
