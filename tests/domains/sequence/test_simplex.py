"""Letters as centred vectors."""

from __future__ import annotations

import math

import pytest
import torch

from polydiff.core.space import sqnorm
from polydiff.core.streams import streams
from polydiff.domains.sequence.simplex import CentredSpace, centred, decided
from polydiff.testing.space import check_space


@pytest.mark.parametrize(("letters", "length"), [(2, 1), (3, 5), (28, 7)])
def test_it_is_a_space(letters: int, length: int) -> None:
    check_space(CentredSpace(3, letters, length))


def test_letters_lie_on_the_space_and_have_unit_mean_square() -> None:
    letters = torch.randint(5, (4, 7), generator=torch.Generator().manual_seed(0))
    x, space = centred(letters, 5), CentredSpace(4, 5, 7)
    assert x.sum(1).abs().max() < 1e-6
    assert (sqnorm(space, x) / space.dim - 1).abs().max() < 1e-6
    assert torch.equal(decided(x), letters)


def test_all_pairs_of_letters_are_equally_far_apart() -> None:
    x = centred(torch.arange(6)[None], 6)[0].T
    distances = torch.cdist(x, x)
    assert torch.allclose(distances[~torch.eye(6, dtype=torch.bool)], torch.tensor(math.sqrt(12)))


def test_noise_decides_each_letter_equally_often() -> None:
    space = CentredSpace(200, 4, 50)
    counts = decided(space.noise(streams(0, "noise", range(200)))).flatten().bincount(minlength=4)
    assert (counts - 2500).abs().max() < 5 * math.sqrt(10_000 * 3 / 16)  # five standard deviations
