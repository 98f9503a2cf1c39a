"""Tests of `polydiff.contract.tasks`."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polydiff import streams
from polydiff.contract.tasks import Generate, Inpaint, draw_mask
from polydiff.core.conditions import KNOWN


@given(st.lists(st.integers(2, 40), min_size=1, max_size=3), st.integers(0, 10_000))
def test_a_mask_leaves_something_to_make(sizes: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    mask = draw_mask(sizes, generator)
    assert mask.shape == tuple(sizes)
    assert mask.dtype == torch.bool
    assert not mask.all()
    assert torch.equal(draw_mask(sizes, torch.Generator().manual_seed(seed)), mask)


@pytest.mark.parametrize("sizes", [(400,), (20, 20)])
def test_masks_have_the_documented_kinds_and_shares(sizes: tuple[int, ...]) -> None:
    n, places = 2000, torch.Size(sizes).numel()
    masks = torch.stack([draw_mask(sizes, g) for g in streams(0, "mask", range(n))])
    shares = masks.flatten(1).double().mean(1)
    assert abs((shares == 0).double().mean() - 0.1) < 0.03
    edge = masks[:, 0] if len(sizes) == 1 else masks[:, 0, :].all(1) | masks[:, -1, :].all(1) | masks[:, :, 0].all(1)
    assert 0.5 < edge.double().mean() < 0.95
    gap = 1 - shares[(shares > 0) & (shares < 1)]
    assert gap.min() >= 0.5 / places
    assert (gap < 0.1).double().mean() > 0.1
    assert (gap > 0.5).double().mean() > 0.1
    if len(sizes) == 1:
        rises = (masks[:, 1:] & ~masks[:, :-1]).sum(1)
        assert int(rises.max()) <= 3
        beginnings = (rises == 0) & masks[:, 0]
        assert (beginnings & (shares > 0.5)).double().mean() > 0.04


def test_the_condition_is_the_known_part_and_depends_on_an_examples_own_generator() -> None:
    x = torch.randn(6, 2, 30)
    observed = Inpaint(2).observe(x, streams(0, "mask", range(6)))[KNOWN]
    assert observed.shape == x.shape
    gone = observed.isnan()
    assert torch.equal(gone[:, 0], gone[:, 1])
    assert torch.equal(observed[~gone], x[~gone])
    alone = Inpaint(2).observe(x[4:], streams(0, "mask", range(4, 6)))[KNOWN]
    assert torch.equal(alone.nan_to_num(7), observed[4:].nan_to_num(7))
    assert Generate().observe(x, streams(0, "mask", range(6))) == {}
