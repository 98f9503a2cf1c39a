"""Tests of `polydiff.looking.difference` and `places`: letters as one-hot vectors, and sums over places."""

from __future__ import annotations

import torch
from torch.nn import functional

from polydiff.core.space import Euclidean
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules
from polydiff.looking.difference import centre, squared, variance
from polydiff.looking.places import at_places


def test_letters_differ_by_half_of_the_squared_distance_of_one_hot_vectors() -> None:
    draw = torch.Generator().manual_seed(0)
    x, y = (torch.randint(4, (5, 7), generator=draw) for _ in range(2))
    hot = (functional.one_hot(x, 4) - functional.one_hot(y, 4)).square().sum(-1) / 2
    assert torch.equal(squared(x, y), hot.float())
    assert centre(torch.tensor([[0, 3], [1, 3], [1, 2]])).tolist() == [[1, 3]]


def test_the_variance_of_letters_is_the_share_of_pairs_of_draws_that_differ() -> None:
    draws = torch.randint(3, (6, 4, 5), generator=torch.Generator().manual_seed(0)) - 1  # with padding, -1
    pairs = [(draws[i] != draws[j]).double() for i in range(6) for j in range(6) if i != j]
    torch.testing.assert_close(variance(draws).double(), torch.stack(pairs).mean(0))
    real = torch.randn(6, 4, 5)
    torch.testing.assert_close(variance(real), real.var(0))


def test_elements_are_summed_over_channels_and_over_the_features_of_atoms() -> None:
    planes = torch.rand(2, 3, 4, 5)
    torch.testing.assert_close(at_places(planes, Euclidean(2, (3, 4, 5))), planes.sum(1))
    sizes = torch.tensor([3, 1, 2])
    packed, dense = PackedMolecules.of_sizes(sizes, 4), DenseMolecules.of_sizes(sizes, 4)
    rows = torch.rand(6, 7)
    padded = torch.zeros(3, 3, 7)
    padded[dense.mask] = rows
    assert torch.equal(at_places(rows, packed), at_places(padded, dense))
    assert at_places(rows, packed)[1].tolist() == [float(rows[3].sum()), 0, 0]
