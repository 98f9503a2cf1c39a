"""Tests of `polydiff.backbones.molecules.neighbour_pairs`."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polydiff.backbones.molecules.neighbour_pairs import near_pairs
from polydiff.core.streams import stream


@given(
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=5),
    seed=st.integers(0, 1000),
    within=st.floats(0.05, 6),
    spread=st.sampled_from([0.0, 1.0, 50.0, 1e7]),
)
def test_near_pairs_are_all_pairs_that_are_near(sizes: list[int], seed: int, within: float, spread: float) -> None:
    index = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    r = spread * torch.randn(len(index), 3, generator=stream(seed, "places"), dtype=torch.float64)
    r[::3] = r[::3].floor()  # and some that lie on the sides of cubes
    near = ((r[:, None] - r).square().sum(-1) < within**2) & (index[:, None] == index) & ~torch.eye(len(r)).bool()
    found = torch.stack(near_pairs(r, index, within))
    assert torch.equal(found, near.nonzero().T)


def test_a_large_molecule_is_listed_without_all_its_pairs() -> None:
    n, within = 5_000, 1.0
    r = 12 * torch.rand(n, 3, generator=stream(0, "places"))
    receiver, sender = near_pairs(r, torch.zeros(n, dtype=torch.long), within)
    mean = len(receiver) / n
    assert mean == pytest.approx(n / 12**3 * 4 / 3 * torch.pi * within**3, rel=0.15)
    assert len(receiver) < n * n / 300
    assert (receiver * n + sender).diff().min() > 0
