"""Exact models of letters: the network that knows the law of its data, a finite list of words with probabilities.

Every number that a process of letters gives can then be computed without drawing anything: the law of a sampler's
results by pushing probabilities through its steps, and bounds by summing over all corrupted words.

Symbols: W number of words, n sites of a word, K letters, B number of samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from polydiff.core.conditions import Condition
from polydiff.core.parts.letters import LettersSpace
from polydiff.core.parts.product import WHOLE, Parts, Product
from polydiff.parts.letters.kernel import LetterKernel
from polydiff.parts.letters.samplers import Jump
from polydiff.parts.network import Levels


@dataclass(frozen=True)
class Words:
    """A law of words.

    Arguments:
        words: All words of positive probability, int64 (W, n).
        p: Their probabilities, (W,), float64.
        letters: Number of letters K.
    """

    words: Tensor
    p: Tensor
    letters: int

    @classmethod
    def chain(cls, first: Sequence[float], steps: Sequence[Sequence[float]], sites: int) -> Words:
        """Return the law of a Markov chain: of its first letter, and of a letter given the one before."""
        letters = len(first)
        words = torch.tensor(list(product(range(letters), repeat=sites)))
        begin, step = (torch.tensor(each, dtype=torch.float64) for each in (first, steps))
        p = begin[words[:, 0]]
        for i in range(1, sites):
            p = p * step[words[:, i - 1], words[:, i]]
        return cls(words, p, letters)

    @property
    def sites(self) -> int:
        """Number of sites n."""
        return self.words.shape[1]

    def space(self, batch: int) -> LettersSpace:
        """Return the space of so many words."""
        return LettersSpace(batch, (self.sites,), self.letters)

    @property
    def entropy(self) -> float:
        """Entropy in nats."""
        return float(-(self.p * self.p.log()).sum())


@dataclass(frozen=True)
class ExactLetters:
    """The network whose posterior is exact, for a kernel.

    Arguments:
        data: The law of the data.
        kernel: The kernel that corrupts them.
    """

    data: Words
    kernel: LetterKernel

    def log_joint(self, x: Tensor, level: Tensor) -> Tensor:
        """Return log p(word) + log q(x | word) for each word, shape (B, W), for x (B, n) at levels () or (B,)."""
        q = self.kernel.likelihood(x, level, self.data.space(len(x)))
        each = q[:, None].expand(-1, len(self.data.words), -1, -1)
        chosen = each.gather(-1, self.data.words[None, :, :, None].expand(len(x), -1, -1, 1))[..., 0]
        return self.data.p.log() + chosen.log().sum(-1)

    def posterior(self, x: Tensor, level: Tensor) -> Tensor:
        """Return p(x_0 = k | x) of each site and letter, (B, n, K)."""
        words = torch.softmax(self.log_joint(x, level), -1)
        hot = torch.nn.functional.one_hot(self.data.words, self.data.letters).double()
        return torch.einsum("bw,wnk->bnk", words, hot)

    def __call__(self, x: Parts, levels: Levels, space: Product, cond: Condition | None = None) -> dict[str, Tensor]:
        """Return logits F (B, n, K) with which the kernel's posterior is the exact one."""
        state, level = x[WHOLE], levels[WHOLE]
        q = self.kernel.likelihood(state, level, space.parts[WHOLE])  # type: ignore[arg-type]
        return {WHOLE: torch.where(q > 0, self.posterior(state, level).log() - q.log(), 0.0)}


def corrupted_words(data: Words, kernel: LetterKernel) -> Tensor:
    """Return all states that words of the data can become, (S, n)."""
    letters = data.letters + (1 if kernel.masked else 0)
    return torch.tensor(list(product(range(letters), repeat=data.sites)))


def prior_law(data: Words, kernel: LetterKernel) -> Tensor:
    """Return the prior's law over `corrupted_words`, (S,)."""
    pi = torch.tensor([0.0] * data.letters + [1.0], dtype=torch.float64) if kernel.masked else kernel.pi
    return pi[corrupted_words(data, kernel)].prod(-1)


def law_of(rows: Sequence[Jump], network: ExactLetters, begin: Tensor | None = None) -> Tensor:
    """Return the law of the words that a sampler gives, over `corrupted_words`, (S,): no random number is drawn.

    Arguments:
        rows: The sampler's rows.
        network: The exact network.
        begin: Law of the states at which it begins, (S,); None: the prior.
    """
    kernel, data = network.kernel, network.data
    states = corrupted_words(data, kernel)
    space = data.space(len(states))
    law = prior_law(data, kernel) if begin is None else begin
    for row in rows:
        level = torch.tensor(row.at, dtype=torch.float64)
        f = network({WHOLE: states}, {WHOLE: level}, Product({WHOLE: space}))[WHOLE]
        site = row.law(kernel, kernel.log_posterior(f, states, level, space), states, space)
        chances = torch.ones(len(states), len(states), dtype=torch.float64)
        for i in range(data.sites):
            chances *= site[:, i, states[:, i]]
        law = (law[:, None] * torch.where(law[:, None] > 0, chances, 0.0)).sum(0)
    return law


def data_law(data: Words, kernel: LetterKernel) -> Tensor:
    """Return the law of the data over `corrupted_words`, (S,)."""
    states = corrupted_words(data, kernel)
    place = {tuple(state): i for i, state in enumerate(states.tolist())}
    law = torch.zeros(len(states), dtype=torch.float64)
    for word, p in zip(data.words.tolist(), data.p, strict=True):
        law[place[tuple(word)]] = p
    return law


def total_variation(a: Tensor, b: Tensor) -> float:
    """Return the total variation between two laws over the same states, (S,) each."""
    return float((a - b).abs().sum() / 2)
