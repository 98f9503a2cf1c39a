"""Tests of `polydiff.gaussian.loss.norms`."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from polydiff.core.space import Euclidean, sqnorm
from polydiff.core.streams import streams
from polydiff.domains.molecule.space import DenseMolecules
from polydiff.gaussian.loss.norms import NORMS


def test_norms_are_their_definitions() -> None:
    r = torch.linspace(-3, 3, 31, dtype=torch.float64)
    space = Euclidean(31, (1,), dtype=torch.float64)
    assert_close(NORMS["l2"](r[:, None], space), r**2)
    assert_close(NORMS["l1"](r[:, None], space), r.abs())
    huber = torch.where(r.abs() < 0.5, r**2 / 2, 0.5 * (r.abs() - 0.25))
    assert_close(NORMS["huber"](r[:, None], space, delta=0.5), huber)
    d = 7
    x = torch.randn(31, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    C = 0.00054 * d**0.5  # Song & Dhariwal, 2023
    ours = NORMS["pseudo_huber"](x, Euclidean(31, (d,), dtype=torch.float64)) * d**0.5
    assert_close(ours, (sqnorm(Euclidean(31, (d,)), x) + C**2).sqrt() - C, rtol=1e-12, atol=0)


@pytest.mark.parametrize("norm", list(NORMS))
def test_every_norm_leaves_padding_out_and_counts_the_true_dimension(norm: str) -> None:
    sizes = torch.tensor([2, 5, 9])
    narrow = DenseMolecules.of_sizes(sizes, 2, torch.float64)
    wide = DenseMolecules(nn.functional.pad(narrow.mask, (0, 4)), 2, torch.float64)
    r, padded = (space.noise(streams(0, "r", range(3))) for space in (narrow, wide))
    assert_close(NORMS[norm](r, narrow), NORMS[norm](padded, wide), rtol=1e-12, atol=0)
    ones = NORMS[norm](torch.full((2, 12), 3.0), Euclidean(2, (12,)))
    assert_close(ones, NORMS[norm](torch.full((2, 3), 3.0), Euclidean(2, (3,))), rtol=1e-6, atol=0)
