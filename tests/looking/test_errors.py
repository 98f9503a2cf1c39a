"""Tests of `polydiff.looking.errors`: one-step estimates of exact networks of letters and of several parts."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from exact_parts import Exact, Known, model_of
from torch import Tensor, nn

from polydiff.core.parts.letters import PAD, LettersSpace
from polydiff.core.parts.manifolds import TorusSpace
from polydiff.core.parts.pairs import PairsSpace
from polydiff.core.parts.product import WHOLE, Product
from polydiff.core.space import Euclidean
from polydiff.gaussian.loss.base import Loss
from polydiff.gaussian.schedule.base import SCHEDULES
from polydiff.looking.errors import Unseen, nats, spread_of, squared_error, unseen_error
from polydiff.looking.subject import Subject
from polydiff.looking.views.one_step import one_step
from polydiff.parts.gaussian import GaussianKernel
from polydiff.parts.letters.kernel import LetterKernel
from polydiff.parts.letters.law import uniform_law
from polydiff.testing.parts.letters import ExactLetters, Words, corrupted_words

CHAIN = Words.chain([0.6, 0.3, 0.1], [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.3, 0.6]], sites=3)
KERNELS = {"masked": LetterKernel(3), "uniform": LetterKernel(3, uniform_law(3))}
MEANS, STD, CLASSES = torch.tensor([-2.0, 0.5, 2.0]).double(), 0.3, torch.tensor([0.5, 0.3, 0.2]).double()


def chain_nats(kernel: LetterKernel, level: float) -> float:
    """Return the mean of -log p(x_0 | x) of a letter of the chain, summed over all words and all corrupted words."""
    states = corrupted_words(CHAIN, kernel)
    exact, l = ExactLetters(CHAIN, kernel), torch.tensor(level, dtype=torch.float64)
    pi = torch.tensor([0.0] * 3 + [1.0]).double() if kernel.masked else torch.full((4,), 1 / 3).double()
    total = 0.0
    for word, p in zip(CHAIN.words, CHAIN.p, strict=True):
        q = ((states == word).double() * (1 - level) + level * pi[states]).prod(-1)
        reached = q > 0
        log_p = exact.posterior(states[reached], l).gather(-1, word.expand(int(reached.sum()), -1)[..., None]).log()
        total -= float(p * (q[reached] * log_p[..., 0].sum(-1)).sum())
    return total / CHAIN.sites


@pytest.mark.parametrize("name", list(KERNELS))
def test_the_nats_of_exact_letters_are_those_of_the_chain(name: str) -> None:
    """At the highest level they are those of the marginal law, the mean entropy of a letter."""
    drawn = torch.multinomial(CHAIN.p, 4096, replacement=True, generator=torch.Generator().manual_seed(0))
    domain, exact = Known(CHAIN.words[drawn], CHAIN.space), ExactLetters(CHAIN, KERNELS[name])
    subject = Subject(model_of({"process": name}, domain, Exact({WHOLE: KERNELS[name]}, exact)))
    found = one_step(subject, domain.batch("test", range(4096), ())).first
    assert found.nats is not None
    exactly = [chain_nats(KERNELS[name], level) for level in found.levels]
    assert found.nats.tolist() == pytest.approx(exactly, abs=0.02)
    assert found.marginal == pytest.approx(exactly[0], abs=0.03)
    assert exactly[-1] < 0.3 * exactly[0]


def test_letters_of_any_place_are_counted_if_examples_differ_in_size() -> None:
    """Three words of two letters, with 4 zeros and one 1; each pair of nodes counts once."""
    lengths = LettersSpace.of_lengths(torch.tensor([1, 2, 2]), 2)
    x = torch.tensor([[0, PAD], [0, 1], [0, 0]])
    found = Unseen.of(x, lengths, x.shape, lengths)
    assert found.log_law is not None
    torch.testing.assert_close(found.log_law.exp(), torch.tensor([4.5, 1.5]).double() / 6)
    assert int(found.centre) == 0
    assert unseen_error(x, found, lengths).tolist() == [0, 1, 0]
    exact = -(4 * math.log(4.5 / 6) + math.log(1.5 / 6)) / 5
    assert nats(x, found.log_law, lengths) == pytest.approx(exact)
    pairs = PairsSpace(torch.tensor([[True, True, True], [True, True, False]]), 2)
    bonds = torch.tensor([[[PAD, 1, 1], [1, PAD, 0], [1, 0, PAD]], [[PAD, 1, PAD], [1, PAD, PAD], [PAD] * 3]])
    law = Unseen.of(bonds, pairs, bonds.shape, pairs).log_law
    assert law is not None
    torch.testing.assert_close(law.exp(), torch.tensor([1.5, 3.5]).double() / 5)


def test_angles_are_compared_with_a_uniform_draw() -> None:
    """On a circle its mean squared angle is pi^2 / 3 a dimension; across the end the path is short."""
    space = TorusSpace(1, (2,))
    x, other = torch.tensor([[math.pi - 0.1, 0.0]]), torch.tensor([[0.1 - math.pi, 0.5]])
    assert float(squared_error(x, other, space)[0]) == pytest.approx(0.2**2 + 0.5**2, rel=1e-4)
    unseen = Unseen.of(x, space, x.shape, space)
    assert float(unseen_error(x, unseen, space)[0]) == pytest.approx(2 * math.pi**2 / 3)
    found = spread_of(torch.stack([x, other]), space)
    torch.testing.assert_close(found, torch.tensor([[0.2**2, 0.5**2]]) / 2, rtol=0, atol=1e-5)


def joint(x: Any, levels: Any, space: Any, cond: Any = None) -> dict[str, Tensor]:
    """Return the exact outputs for x | c ~ N(mu_c, std^2) with classes c, of which 3 is the mask."""
    state, c, s2 = x["x"], x["c"][:, 0], levels["x"] ** 2
    log_p = CLASSES.log() - (state[:, None] - MEANS) ** 2 / (2 * (STD**2 + s2))
    p = torch.where((c == 3)[:, None], torch.softmax(log_p, -1), nn.functional.one_hot(c, 4)[:, :3].double())
    each = (STD**2 * state[:, None] + s2 * MEANS) / (STD**2 + s2)
    return {"x": (p * each).sum(-1), "c": torch.log_softmax(log_p, -1)[:, None]}


def joint_errors(s: float, level: float) -> tuple[float, float]:
    """Return the relative error of x and the nats of c, by quadrature over the noisy x."""
    x, variance = torch.linspace(-12 - 8 * s, 12 + 8 * s, 40_001).double(), STD**2 + s**2
    density = torch.exp(-((x[:, None] - MEANS) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance) * CLASSES
    p, each = density / density.sum(-1, keepdim=True), (STD**2 * x[:, None] + s**2 * MEANS) / variance
    within = STD**2 * s**2 / variance
    among = (p * each**2).sum(-1) - (p * each).sum(-1) ** 2
    masked = within + float(torch.trapezoid(density.sum(-1) * among, x))
    entropy = float(torch.trapezoid(density.sum(-1) * -torch.special.xlogy(p, p).sum(-1), x))
    spread = STD**2 + float(CLASSES @ MEANS**2 - (CLASSES @ MEANS) ** 2)
    return ((1 - level) * within + level * masked) / spread, level * entropy


def test_each_part_of_a_state_has_the_error_of_the_closed_form() -> None:
    n = 8192
    generator = torch.Generator().manual_seed(0)
    c = torch.multinomial(CLASSES, n, replacement=True, generator=generator)
    x = MEANS[c] + STD * torch.randn(n, generator=generator, dtype=torch.float64)
    domain = Known(
        {"x": x, "c": c[:, None]},
        lambda n: Product({"x": Euclidean(n, (), dtype=torch.float64), "c": LettersSpace(n, (1,), 3)}),
    )
    kernels = {"x": GaussianKernel(SCHEDULES["edm"](), "x0", Loss()), "c": LetterKernel(3)}
    parts = {"x": {"process": "gaussian"}, "c": {"process": "masked"}}
    config = {"process": "joint", "schedule": "edm", "schedule_options": {}, "parts": parts}
    found = one_step(Subject(model_of(config, domain, Exact(kernels, joint))), domain.batch("test", range(n), ()))
    places, letters = found.parts["x"], found.parts["c"]
    assert list(places.levels) == list(found.levels)
    top = math.asinh(SCHEDULES["edm"]().sigma_max)
    assert list(letters.levels) == pytest.approx([math.asinh(s) / top for s in found.levels])
    exactly = [joint_errors(*levels) for levels in zip(places.levels, letters.levels, strict=True)]
    assert places.relative.tolist() == pytest.approx([r for r, _ in exactly], abs=0.03)
    assert letters.nats is not None
    assert letters.nats.tolist() == pytest.approx([c for _, c in exactly], abs=0.02)
    assert letters.marginal == pytest.approx(float(-(CLASSES * CLASSES.log()).sum()), abs=0.03)
    assert found.as_json()["parts"].keys() == {"x", "c"}
