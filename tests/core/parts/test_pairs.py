"""Letters on pairs of nodes: symmetry, padding, streams and sums."""

from __future__ import annotations

import math

import pytest
import torch

from polydiff.core.parts.letters import PAD
from polydiff.core.parts.pairs import PairsSpace
from polydiff.core.streams import streams
from polydiff.parts.letters.kernel import LetterKernel

SIZES = (3, 1, 5)


def space_of(sizes: tuple[int, ...], width: int) -> PairsSpace:
    return PairsSpace(torch.arange(width) < torch.tensor(sizes)[:, None], 4)


def test_a_pair_is_one_site_whatever_the_padding() -> None:
    space = space_of(SIZES, 7)
    assert space.dim.tolist() == [3, 0, 10]
    assert space.sum(torch.ones(3, 7, 7)).tolist() == [3, 0, 10]
    x = torch.arange(49.0).reshape(1, 7, 7).repeat(3, 1, 1)
    assert float(space.sum(x)[0]) == 7 + 14 + 15  # places (1, 0), (2, 0), (2, 1)


def test_one_number_decides_both_places_of_a_pair() -> None:
    space = space_of(SIZES, 6)
    v = space.uniforms(streams(0, "pairs", range(3)))
    assert torch.equal(v, v.mT)
    assert (v[~space.sites] == 0).all()
    numbers = v[2][space.lower[2]]
    assert len(numbers.unique()) == 10
    assert torch.equal(numbers, torch.rand(10, generator=streams(0, "pairs", [2])[0], dtype=torch.float64))


def test_numbers_do_not_depend_on_padding_or_batch() -> None:
    wide = space_of(SIZES, 9).uniforms(streams(0, "pairs", range(3)))
    alone = space_of((5,), 5).uniforms(streams(0, "pairs", [2]))
    assert torch.equal(wide[2, :5, :5], alone[0])


def test_clean_letters_are_mirrored_and_padded() -> None:
    space = space_of((3, 2), 4)
    x = torch.randint(0, 4, (2, 4, 4), generator=torch.Generator().manual_seed(0))
    cleaned = space.clean(x)
    assert torch.equal(cleaned, cleaned.mT)
    assert torch.equal(cleaned == PAD, ~space.sites)
    assert cleaned[0, 0, 2] == x[0, 2, 0]
    assert torch.equal(space.clean(cleaned), cleaned)


def test_repeated_spaces_are_copies() -> None:
    twice = space_of((3, 2), 4).repeat(2)
    assert twice.dim.tolist() == [3, 1, 3, 1]
    assert twice is not space_of((3, 2), 4)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_corrupted_bonds_stay_symmetric_and_are_lost_once_a_pair(level: float) -> None:
    space, kernel = space_of((40,) * 8, 42), LetterKernel(4)
    x_0 = space.noise(streams(0, "data", range(8)))
    x = kernel.corrupt(x_0, torch.full((8,), level), space, streams(0, "noise", range(8)))
    assert torch.equal(x, x.mT)
    assert torch.equal(x == PAD, ~space.sites)
    lost = x[space.lower] == 4
    assert float(lost.double().mean()) == pytest.approx(level, abs=0.025)  # four standard deviations
    assert torch.equal(x[space.lower][~lost], x_0[space.lower][~lost])


def test_a_graph_of_one_node_has_no_loss() -> None:
    space, kernel = space_of((1, 2), 2), LetterKernel(4)
    x_0, level = space.noise(streams(0, "data", range(2))), torch.ones(2)
    x = kernel.corrupt(x_0, level, space, streams(0, "noise", range(2)))
    for weighting in ("simple", "elbo"):
        loss = kernel.loss(torch.zeros(2, 2, 2, 4), x_0, x, level, level, space, weighting)
        assert loss.tolist() == pytest.approx([0.0, math.log(4)])
