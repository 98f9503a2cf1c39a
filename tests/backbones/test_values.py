"""Values of single conditions: their expansion in sinusoids, and elements that are not given."""

from __future__ import annotations

import math

import torch

from polydiff.backbones.values import VectorField, filled, sinusoids


def test_sinusoids() -> None:
    v = torch.tensor([0.0, 0.25, 8.0], dtype=torch.float64)
    features = sinusoids(v, 4, 1.0, 8.0)
    wavelengths = torch.tensor([1.0, 2.0, 4.0, 8.0], dtype=torch.float64)
    expected = torch.stack(
        [torch.sin(2 * math.pi * v[:, None] / wavelengths), torch.cos(2 * math.pi * v[:, None] / wavelengths)], 1
    )
    torch.testing.assert_close(features, expected.flatten(1))


def test_what_is_not_given_is_filled_alone_or_with_all_along_an_axis() -> None:
    value = torch.tensor([[1.0, torch.nan], [3.0, 4.0]])
    numbers, there = filled(value)
    assert numbers.tolist() == [[1, 0], [3, 4]]
    assert there.tolist() == [[True, False], [True, True]]
    numbers, there = filled(value, -1)
    assert numbers.tolist() == [[0, 0], [3, 4]]
    assert there.tolist() == [[False], [True]]


def test_numbers_that_are_not_given_add_nothing_to_a_vector() -> None:
    field = VectorField(3, 5)
    assert torch.equal(field(torch.tensor([[1.0, math.nan, 2.0]])), field(torch.tensor([[1.0, 0.0, 2.0]])))
    assert not field(torch.zeros(2, 3)).any()
