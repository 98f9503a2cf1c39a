"""Letters of known numbers: samples meet them exactly, and an exact network's law stays what it is."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from polydiff.core.parts.letters import LettersSpace, Totals
from polydiff.core.parts.product import WHOLE, Product
from polydiff.core.streams import streams
from polydiff.parts.letters.kernel import LetterKernel
from polydiff.parts.letters.samplers import Jump, Reveal, ancestral, confident, first_hitting, remask
from polydiff.parts.letters.totals import meet_totals
from polydiff.testing.parts.letters import ExactLetters, Words

K = 3
MASKED = LetterKernel(K)
GROUPS = torch.tensor([0, 0, 1])
"""Letters 0 and 1 are one group, as an element and its ion."""
COUNTS = torch.tensor([[4, 2]])
LEVELS = [1 - i / 8 for i in range(9)]
SAMPLERS = {
    "ancestral": ancestral(LEVELS, 6),
    "one step": ancestral([1.0, 0.0], 6),
    "remask": remask(LEVELS, 6, eta=2.0),
    "first_hitting": first_hitting(LEVELS, 6),
    "confident": confident(LEVELS, 6, k=2),
    "cold": ancestral(LEVELS, 6, temperature=0.1, top_p=0.5),
}


def space_of(n: int, counts: Tensor = COUNTS, mask: Tensor | None = None) -> LettersSpace:
    return LettersSpace(n, (6,), K, mask, totals=Totals(GROUPS, counts.expand(n, 2)))


def run(rows: list[Jump] | list[Reveal], p: Tensor, space: LettersSpace, seeds: range) -> Tensor:
    """Return samples of a network whose posterior of each site is p (6, K), whatever it sees."""
    generators = streams(0, "sample", seeds)
    x = MASKED.prior(space, generators)
    f = p.log().expand(space.batch, 6, K)
    for row in rows:
        x = MASKED.step(row, f, x, space, generators, [])
    return x


def numbers(x: Tensor) -> Tensor:
    """Return the number of letters of each group, (B, 2)."""
    return torch.stack([((x == 0) | (x == 1)).sum(1), (x == 2).sum(1)], 1)


@pytest.mark.parametrize("sampler", list(SAMPLERS))
@pytest.mark.parametrize("p", [(0.4, 0.3, 0.3), (0.98, 0.01, 0.01), (0.5, 0.5, 1e-9), (1e-9, 1e-9, 1.0)])
def test_samples_meet_the_numbers_whatever_the_network_says(sampler: str, p: tuple[float, ...]) -> None:
    x = run(SAMPLERS[sampler], torch.tensor(p, dtype=torch.float64).expand(6, K), space_of(200), range(200))
    assert torch.equal(numbers(x), COUNTS.expand(200, 2))


def test_letters_of_a_group_keep_their_ratio() -> None:
    p = torch.tensor((0.3, 0.1, 0.6), dtype=torch.float64).expand(6, K)
    x = run(SAMPLERS["ancestral"], p, space_of(4000), range(4000))
    assert float((x == 0).sum() / (x < 2).sum()) == pytest.approx(0.75, abs=0.015)


@pytest.mark.parametrize("sampler", ["one step", "ancestral", "first_hitting"])
def test_equal_sites_have_each_arrangement_equally_often(sampler: str) -> None:
    """The posterior of one site says nothing of the others, so all 15 arrangements are equally probable."""
    n = 3000
    x = run(SAMPLERS[sampler], torch.tensor((0.2, 1e-9, 0.8), dtype=torch.float64).expand(6, K), space_of(n), range(n))
    places = [tuple(row) for row in (x == 2).tolist()]
    counts = torch.tensor([places.count(word) for word in product((True, False), repeat=6) if sum(word) == 2])
    assert len(counts) == 15
    assert float(((counts - n / 15).square() / (n / 15)).sum()) < 36.1  # chi-square, 14 degrees of freedom, 0.1 %


def test_an_exact_network_that_knows_the_numbers_keeps_its_law() -> None:
    """From each partly masked word, the site that a step reveals has the exact posterior, as without totals."""
    chain = Words.chain((0.5, 0.3, 0.2), ((0.7, 0.2, 0.1), (0.1, 0.6, 0.3), (0.3, 0.1, 0.6)), 4)
    fitting = (chain.words == 2).sum(1) == 2
    data = Words(chain.words[fitting], chain.p[fitting] / chain.p[fitting].sum(), K)
    states = torch.tensor([[3, 3, 3, 3], [2, 3, 3, 3], [3, 0, 3, 3], [3, 3, 2, 1]])
    network = ExactLetters(data, MASKED)
    p = network.posterior(states, torch.tensor(0.5, dtype=torch.float64))
    n = 10_000
    for state, own in zip(states, p, strict=True):
        before = state.expand(n, 4)
        after = before.clone()
        after[:, 3 if state[3] == 3 else 0] = 0  # a step reveals this site
        totals = Totals(GROUPS, torch.tensor([[2, 2]]).expand(n, 2))
        space = LettersSpace(n, (4,), K, totals=totals)
        x = meet_totals(own.expand(n, 4, K), before, after, totals, space, streams(0, "site", range(n)))
        place = int((after[0] != before[0]).nonzero()[0])
        found = torch.bincount(x[:, place], minlength=K) / n
        assert found.tolist() == pytest.approx(own[place].tolist(), abs=0.016)
        others = [i for i in range(4) if i != place]
        assert torch.equal(x[:, others], before[:, others])


def test_a_sample_does_not_depend_on_its_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(6, K, generator=generator, dtype=torch.float64)
    mask = torch.ones(8, 6, dtype=torch.bool)
    mask[3, 4:] = False
    counts = COUNTS.repeat(8, 1)
    counts[3] = torch.tensor([1, 3])
    whole = run(SAMPLERS["remask"], p / p.sum(1, keepdim=True), space_of(8, counts, mask), range(8))
    alone = run(SAMPLERS["remask"], p / p.sum(1, keepdim=True), space_of(1, counts[3:4], mask[3:4]), range(3, 4))
    assert torch.equal(whole[3:4], alone)
    assert torch.equal(numbers(whole), counts)


def test_letters_that_exceed_a_number_are_kept() -> None:
    before, after = torch.tensor([[2, 2, 2, 3, 3, 3]]), torch.tensor([[2, 2, 2, 2, 0, 3]])
    p = torch.tensor((0.2, 0.2, 0.6), dtype=torch.float64).expand(1, 6, K)
    x = meet_totals(p, before, after, Totals(GROUPS, COUNTS), space_of(1), streams(0, "site", range(1)))
    assert x[0, :3].tolist() == [2, 2, 2]
    assert x[0, 3:5].max() < 2
    assert x[0, 5] == 3


def test_totals_follow_their_space() -> None:
    space = space_of(2, torch.tensor([[4, 2], [1, 5]]))
    assert space.repeat(3).totals.counts.tolist() == [[4, 2], [1, 5]] * 3
    assert Product({WHOLE: space}).to("cpu").parts[WHOLE].totals.counts.tolist() == [[4, 2], [1, 5]]
