"""Tests of `polydiff.domains.image.codec`."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polydiff.domains.image.codec import Standardise
from polydiff.support.errors import UserError


@given(st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1)), st.floats(0.05, 1))
def test_decoding_undoes_encoding(mean: tuple[float, ...], std: float) -> None:
    images = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    codec = Standardise(mean, std)
    assert torch.equal(codec.decode(codec.encode(images)), images)


def test_measured_states_have_mean_0_in_each_channel_and_unit_variance() -> None:
    g = torch.Generator().manual_seed(0)
    images = torch.randint(0, 120, (50, 3, 8, 8), generator=g, dtype=torch.uint8)
    images[:, 1] += 100
    x = Standardise.measure(images).encode(images)
    torch.testing.assert_close(x.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    assert float(x.square().mean()) == pytest.approx(1, abs=1e-4)


def test_what_lies_beyond_white_and_black_is_clipped() -> None:
    x = torch.tensor([-50.0, 50.0]).reshape(1, 1, 1, 2)
    assert Standardise((0.0,), 1.0).decode(x).flatten().tolist() == [0, 255]


def test_a_data_set_of_one_colour_raises_an_error() -> None:
    with pytest.raises(UserError, match="the same single colour"):
        Standardise.measure(torch.full((4, 1, 8, 8), 7, dtype=torch.uint8))
