"""Spaces: projections, noise, sums, and the dense and packed layouts of molecules."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import dense, euclidean, packed
from torch.testing import assert_close

import polydiff
from polydiff.core.space import Euclidean, Repeats, Space, level_of, per_sample, shared_level, sqnorm
from polydiff.core.streams import streams
from polydiff.domains.molecule.space import DenseMolecules, PackedMolecules
from polydiff.support.protocols import provides

sizes = st.lists(st.integers(1, 9), min_size=1, max_size=6)
SPACES = [euclidean(4000), *(make(4000, n) for make in (dense, packed) for n in (1, 2, 5, 9))]


@pytest.mark.parametrize("space", SPACES, ids=lambda s: f"{type(s).__name__}-{int(s.dim[0])}")
def test_noise_has_the_covariance_of_the_projector(space: Space) -> None:
    eps = space.noise(streams(0, "noise", range(space.batch)))
    assert_close(space.project(eps), eps, atol=1e-12, rtol=0)
    norms = sqnorm(space, eps)
    # |eps|^2 is chi-squared with dim degrees of freedom: mean dim, variance 2 dim
    d = space.dim[0].item()
    assert abs(norms.mean().item() - d) < 5 * (2 * d / space.batch) ** 0.5
    assert abs(norms.var().item() / (2 * d) - 1) < 5 * ((2 + 12 / d) / space.batch) ** 0.5


@given(sizes, st.integers(0, 3), st.integers(0, 2**31))
def test_projection_is_idempotent_and_self_adjoint(sizes: list[int], features: int, seed: int) -> None:
    for cls in (DenseMolecules, PackedMolecules):
        space = cls.of_sizes(torch.tensor(sizes), features, torch.float64)
        shape = space.noise(streams(0, "shape", range(len(sizes)))).shape
        g = torch.Generator().manual_seed(seed)
        x, y = (torch.randn(shape, generator=g, dtype=torch.float64) for _ in range(2))
        px, py = space.project(x), space.project(y)
        assert_close(space.project(px), px, atol=1e-12, rtol=0)
        assert_close(space.sum(px * y), space.sum(x * py), atol=1e-10, rtol=1e-10)


@given(sizes, st.integers(0, 3))
def test_dense_and_packed_layouts_have_the_same_noise(sizes: list[int], features: int) -> None:
    n = torch.tensor(sizes)
    dense, packed = (cls.of_sizes(n, features, torch.float64) for cls in (DenseMolecules, PackedMolecules))
    a, b = (space.noise(streams(3, "noise", range(len(sizes)))) for space in (dense, packed))
    assert_close(a[dense.mask], b)
    assert_close(sqnorm(dense, a), sqnorm(packed, b))
    assert_close(dense.dim, packed.dim)
    c = torch.arange(len(sizes), dtype=torch.float64)
    assert_close((dense.expand(c) * a)[dense.mask], packed.expand(c) * b)


def test_a_sample_does_not_depend_on_its_batch_or_its_padding() -> None:
    n = torch.tensor([2, 5, 9, 3])
    together = DenseMolecules.of_sizes(n, 2).noise(streams(1, "noise", range(4)))
    alone = DenseMolecules.of_sizes(n[1:2], 2).noise(streams(1, "noise", [1]))
    assert torch.equal(together[1, :5], alone[0])


@pytest.mark.parametrize("space", [euclidean(2), dense(2, 4), packed(2, 4)])
def test_a_noise_level_is_one_number_for_all_or_one_a_sample(space: Space) -> None:
    """Both broadcast equally. The shared level keeps its float64 value and is read on the CPU."""
    x = space.noise(streams(0, "x", range(2))).float()
    shared = shared_level(0.1)
    each = per_sample(shared, x, space)
    assert (shared.shape, each.shape, each.dtype) == ((), (2,), x.dtype)
    assert level_of(shared.clone()) == 0.1
    assert level_of(each) is None
    assert torch.equal(per_sample(each, x, space), each)
    assert torch.equal(x * space.expand(shared), x * space.expand(each))


@pytest.mark.parametrize("space", [dense(2, 4), packed(2, 4)])
def test_molecules_are_repeated_once(space: Space) -> None:
    """Repeated spaces are cached, so guidance does not read sizes back from the device at every step."""
    assert provides(space, Repeats)
    assert space.repeat(2) is space.repeat(2)
    assert space.repeat(3).batch == 6


def test_normal_numbers_of_a_row_come_from_its_generator_alone() -> None:
    rows = polydiff.normal(polydiff.streams(3, "noise", range(4)), (2, 5))
    assert rows.shape == (4, 2, 5)
    alone = polydiff.normal(polydiff.streams(3, "noise", [2]), (2, 5))
    assert torch.equal(alone[0], rows[2])
    assert torch.equal(rows, Euclidean(4, (2, 5)).noise(polydiff.streams(3, "noise", range(4))))
